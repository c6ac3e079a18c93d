"""How a dataset lies on disk.

Every source leaves its data in the layout of Oxford-IIIT Pet:

    images/ID.jpg              the image; its content may be any format, whatever the name says
    annotations/trimaps/ID.png one byte a pixel: 1 pet, 2 background, 3 border
    annotations/list.txt       one line an image: ID CLASS SPECIES BREED; `#` starts a comment
    annotations/trainval.txt   the same lines: what trains and validates
    annotations/test.txt       the same lines: what tests

A person's folder without lists has only list.txt: there the split is drawn at random.
Source: https://www.robots.ox.ac.uk/~vgg/data/pets/ (README of annotations.tar.gz).
"""

import re
from collections.abc import Container
from pathlib import Path

from segmentation.common.errors import InputError

PET, BACKGROUND, BORDER = 1, 2, 3

TRAINVAL = Path("annotations/trainval.txt")
TEST = Path("annotations/test.txt")
LIST = Path("annotations/list.txt")
TRIMAPS = Path("annotations/trimaps")
IMAGES = Path("images")

_NUMBERS = re.compile(r"(\s+\d+){3}\s*$")  # class, species and breed; an id may hold spaces


def image_path(raw: Path, image_id: str) -> Path:
    """Where the image of `image_id` lies under the dataset folder `raw`."""
    return raw / IMAGES / f"{image_id}.jpg"


def trimap_path(raw: Path, image_id: str) -> Path:
    """Where the trimap of `image_id` lies under the dataset folder `raw`."""
    return raw / TRIMAPS / f"{image_id}.png"


def has_lists(raw: Path) -> bool:
    """Whether the dataset in the folder `raw` says itself what trains and what tests."""
    return (raw / TRAINVAL).exists() or (raw / TEST).exists()


def read_list(path: Path) -> list[str]:
    """Return the ids that a list file names, one a line, without the three numbers that may follow.

    A line that starts with `#` is a comment. Raises `InputError` for a missing file, and for ids that
    could lead out of the dataset's folder.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()  # Windows' editors begin with a mark
    except FileNotFoundError:
        raise InputError(f"{path}: no such list; run `python -m stages.download` first") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file in UTF-8") from None
    ids = [_NUMBERS.sub("", line).strip() for line in lines if line.strip() and not line.startswith("#")]
    for image_id in ids:
        if not is_plain(image_id):
            raise InputError(f"{path}: {image_id!r} is not a plain image id")
    return ids


def is_plain(image_id: str) -> bool:
    """Whether an id is a visible file's name that leads nowhere else and fits on a line of a list."""
    one_name = image_id.isprintable() and not set(image_id) & set("/\\") and image_id == image_id.strip()
    return one_name and image_id[:1] not in ("", ".", "#")


def without_suffix(entry: str, known: Container[str]) -> str:
    """Return the id that an entry of a person's list means, which may be a file's name."""
    return Path(entry).stem if entry not in known and Path(entry).stem in known else entry
