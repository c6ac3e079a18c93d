"""Which images train, validate and test; which are unusable, and why."""

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from math import ceil
from pathlib import Path

from segmentation.common.artifacts import Dropped, Split
from segmentation.common.cores import usable_cores
from segmentation.common.dataset_layout import TEST, TRAINVAL, image_path, read_list, trimap_path
from segmentation.common.errors import InputError
from segmentation.common.image_io import open_rgb, read_trimap

NAMED = 5  # unusable images that an error names


def evenly_spaced(count: int, share: float) -> list[bool]:
    """Mark a share of `count` positions, evenly spaced, the first one included.

    A share of 0.1 marks positions 0, 10, 20, …: the lab report's `index % 10 == 0`.
    """
    exact = Fraction(str(share))  # 0.1 is 1/10 here, so that position 30 is not lost to rounding
    return [ceil(i * exact) < ceil((i + 1) * exact) for i in range(count)]


def check_pair(raw: Path, image_id: str) -> tuple[str | None, str]:
    """Check that an image and its trimap exist, decode, agree in size and hold allowed values.

    Returns the reason why the pair is unusable, or None, and the hash of both files.
    """
    image, trimap = image_path(raw, image_id), trimap_path(raw, image_id)
    try:
        width, height = open_rgb(image).size
        mask_height, mask_width = read_trimap(trimap).shape
    except InputError as error:
        return str(error), ""
    if (width, height) != (mask_width, mask_height):
        turned = (width, height) == (mask_height, mask_width)
        hint = "; save the image upright: EXIF orientation is not applied" if turned else ""
        return f"{image} is {width}x{height}, {trimap} is {mask_width}x{mask_height}{hint}", ""
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (image, trimap)]
    return None, " ".join(hashes)


def split_dataset(raw: Path, val_fraction: float, limit: int | None, max_dropped: float) -> Split:
    """Split the dataset in folder `raw` by its lists.

    The share `val_fraction` of trainval.txt validates, evenly spaced and counted before anything is
    dropped; the rest trains, of which `limit` evenly spaced images are kept. Raises `InputError`
    if more than the share `max_dropped` of the listed images is unusable, if a list names an image twice,
    or if a part is left empty.
    """
    trainval, test = read_list(raw / TRAINVAL), read_list(raw / TEST)
    listed = trainval + test
    if repeated := _first_repeated(listed):
        raise InputError(f"{repeated} is listed twice in {raw / TRAINVAL} and {raw / TEST}")
    with ThreadPoolExecutor(usable_cores()) as pool:
        checked = dict(zip(listed, pool.map(lambda each: check_pair(raw, each), listed), strict=True))
    dropped = [Dropped(id=each, reason=reason) for each, (reason, _) in checked.items() if reason]
    if len(dropped) > max_dropped * len(listed):
        first = "; ".join(each["reason"] for each in dropped[:NAMED])
        raise InputError(
            f"{len(dropped)} of {len(listed)} listed images are unusable, more than data.max_dropped "
            f"= {max_dropped} allows; fix them or raise it. The first: {first}"
        )
    validates = dict(zip(trainval, evenly_spaced(len(trainval), val_fraction), strict=True))
    kept = {each for each, (reason, _) in checked.items() if not reason}
    train = [each for each in trainval if each in kept and not validates[each]]
    if limit and limit < len(train):
        train = [train[i * len(train) // limit] for i in range(limit)]
    parts = {
        "train": train,
        "val": [each for each in trainval if each in kept and validates[each]],
        "test": [each for each in test if each in kept],
    }
    for name, ids in parts.items():
        if not ids:
            raise InputError(f"{raw}: the {name} part is empty; add images, or fix the lists")
    pixels = "".join(f"{each} {checked[each][1]}\n" for ids in parts.values() for each in ids)
    return Split(
        train=parts["train"],
        val=parts["val"],
        test=parts["test"],
        dropped=dropped,
        sha256=hashlib.sha256(pixels.encode()).hexdigest(),
    )


def _first_repeated(ids: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for each in ids:
        if each in seen:
            return each
        seen.add(each)
    return None
