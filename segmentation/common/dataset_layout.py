"""The layout of a dataset on disk.

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
import unicodedata
from collections.abc import Container
from pathlib import Path

from segmentation.common.errors import InputError
from segmentation.common.files import missing

PET, BACKGROUND, BORDER = 1, 2, 3

TRAINVAL = Path("annotations/trainval.txt")
TEST = Path("annotations/test.txt")
LIST = Path("annotations/list.txt")
TRIMAPS = Path("annotations/trimaps")
IMAGES = Path("images")

_NUMBERS = re.compile(r"(\s+\d+){3}\s*$")  # class, species and breed; an id may hold spaces


def image_path(raw: Path, image_id: str) -> Path:
    """Return where the image of `image_id` is under the dataset folder `raw`."""
    return raw / IMAGES / f"{image_id}.jpg"


def trimap_path(raw: Path, image_id: str) -> Path:
    """Return where the trimap of `image_id` is under the dataset folder `raw`."""
    return raw / TRIMAPS / f"{image_id}.png"


def has_lists(raw: Path) -> bool:
    """Whether the dataset in the folder `raw` says itself what trains and what tests."""
    return (raw / TRAINVAL).exists() or (raw / TEST).exists()


def read_lines(path: Path) -> list[str]:
    """Return the lines of a list file but for blank ones and comments, which start with `#`.

    Raises `InputError` for a missing file, and for one that is not text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()  # Windows' editors begin with a mark
    except FileNotFoundError:
        raise missing(path, "download", "list") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file in UTF-8") from None
    return [line for line in lines if line.strip() and not line.startswith("#")]


def read_list(path: Path, known: Container[str] = ()) -> list[str]:
    """Return the ids that a list file names, one a line, without the three numbers that may follow.

    In a person's list, names and paths of files stand for the `known` ids (`find_id`). Raises `InputError` as
    `read_lines` does, and for ids that could lead out of the dataset's folder.
    """
    ids = [find_id(line, known) for line in read_lines(path)]
    for image_id in ids:
        if not is_plain(image_id):
            raise InputError(f"{path}: {image_id!r} is not a plain image id")
    return ids


def file_id(path: Path) -> str:
    """Return the id of a person's image by its path in the folder, whose parts are joined by `__`.

    macOS writes letters such as é in two characters (NFD), other systems in one (NFC): they are one name.
    """
    return unicodedata.normalize("NFC", "__".join(path.with_suffix("").parts))


def find_id(entry: str, known: Container[str]) -> str:
    """Return which of the `known` ids a line of a list means: by its id, its file's name, or a path to that.

    Three numbers may follow, as in Oxford-IIIT Pet. If none is known, the entry without them is returned.
    """
    whole = entry.strip()
    stripped = _NUMBERS.sub("", whole).strip()
    names = []  # of the path and its ends; as they are first: a name may end with numbers, or hold a dot
    for text in (whole, stripped):
        parts = unicodedata.normalize("NFC", text).replace("\\", "/").split("/")
        names += ["__".join(parts[start:]) for start in range(len(parts))]
    candidates = [*names, *(Path(name).stem for name in names)]
    return next((candidate for candidate in candidates if candidate in known), stripped)


def is_plain(image_id: str) -> bool:
    """Whether an id is a visible file's name that leads nowhere else and fits on a line of a list."""
    one_name = image_id.isprintable() and not set(image_id) & set("/\\") and image_id == image_id.strip()
    return one_name and image_id[:1] not in ("", ".", "#")
