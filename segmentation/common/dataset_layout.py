"""Where everything lies and what it holds: the layout of a dataset, and the outputs of the stages.

Every source leaves its data in the layout of Oxford-IIIT Pet:

    images/ID.jpg              the picture; its content may be any format, whatever the name says
    annotations/trimaps/ID.png one byte a pixel: 1 pet, 2 background, 3 border
    annotations/list.txt       one line a picture: ID CLASS SPECIES BREED; `#` starts a comment
    annotations/trainval.txt   the same lines: what trains and validates
    annotations/test.txt       the same lines: what tests

Source: https://www.robots.ox.ac.uk/~vgg/data/pets/ (README of annotations.tar.gz).
"""

import re
from pathlib import Path

from pydantic import FiniteFloat
from typing_extensions import TypedDict  # typing's own is not enough for pydantic before Python 3.12

from segmentation.common.errors import InputError

PET, BACKGROUND, BORDER = 1, 2, 3

TRAINVAL = Path("annotations/trainval.txt")
TEST = Path("annotations/test.txt")
LIST = Path("annotations/list.txt")
TRIMAPS = Path("annotations/trimaps")
IMAGES = Path("images")

# Where the stages leave their outputs, from the root of the repository.
RAW = Path("data/raw")
SPLIT = Path("data/split.json")
STATS = Path("data/stats.json")
CHECKPOINTS = Path("checkpoints")
METRICS = Path("metrics")
PLOTS = METRICS / "plots"
RUNS = Path("runs")  # TensorBoard; what differs from run to run goes here, never into an output

_NUMBERS = re.compile(r"(\s+\d+){3}\s*$")  # class, species and breed; an id may hold spaces


class Dropped(TypedDict):
    """A listed picture that cannot be used."""

    id: str
    reason: str


class Split(TypedDict):
    """The content of `data/split.json`; `sha256` covers every kept picture and trimap."""

    train: list[str]
    val: list[str]
    test: list[str]
    dropped: list[Dropped]
    sha256: str


class Stats(TypedDict):
    """The content of `data/stats.json`: per channel, in [0, 1]."""

    mean: list[FiniteFloat]
    std: list[FiniteFloat]
    images: int
    pixels: int


def image_path(raw: Path, picture_id: str) -> Path:
    """Where the picture of `picture_id` lies under the dataset folder `raw`."""
    return raw / IMAGES / f"{picture_id}.jpg"


def trimap_path(raw: Path, picture_id: str) -> Path:
    """Where the trimap of `picture_id` lies under the dataset folder `raw`."""
    return raw / TRIMAPS / f"{picture_id}.png"


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
    for picture_id in ids:
        if not is_plain(picture_id):
            raise InputError(f"{path}: {picture_id!r} is not a plain picture id")
    return ids


def is_plain(picture_id: str) -> bool:
    """Whether an id is a visible file's name that leads nowhere else and fits on a line of a list."""
    return picture_id.isprintable() and not set(picture_id) & set("/\\") and picture_id[:1] not in ("", ".")
