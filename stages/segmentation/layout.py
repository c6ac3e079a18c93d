"""The on-disk layout of Oxford-IIIT Pet, in which every source leaves its data.

    images/ID.jpg              the picture; its content may be any format, whatever the name says
    annotations/trimaps/ID.png one byte a pixel: 1 pet, 2 background, 3 border
    annotations/list.txt       one line a picture: ID CLASS SPECIES BREED; `#` starts a comment
    annotations/trainval.txt   the same lines: what trains and validates
    annotations/test.txt       the same lines: what tests

Source: https://www.robots.ox.ac.uk/~vgg/data/pets/ (README of annotations.tar.gz).
"""

from pathlib import Path

PET, BACKGROUND, BORDER = 1, 2, 3

TRAINVAL = Path("annotations/trainval.txt")
TEST = Path("annotations/test.txt")
LIST = Path("annotations/list.txt")
TRIMAPS = Path("annotations/trimaps")
IMAGES = Path("images")


def image_path(raw: Path, picture_id: str) -> Path:
    """Where the picture of `picture_id` lies under the dataset folder `raw`."""
    return raw / IMAGES / f"{picture_id}.jpg"


def trimap_path(raw: Path, picture_id: str) -> Path:
    """Where the trimap of `picture_id` lies under the dataset folder `raw`."""
    return raw / TRIMAPS / f"{picture_id}.png"
