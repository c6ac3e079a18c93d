"""Which images train, validate and test; which are unusable, and why."""

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from segmentation.common.artifacts import Dropped, Split
from segmentation.common.cores import usable_cores
from segmentation.common.dataset_layout import BACKGROUND, TEST, TRAINVAL, image_path, read_list, trimap_path
from segmentation.common.errors import InputError
from segmentation.common.image_io import open_rgb, read_trimap

NAMED = 5  # unusable images that an error names
INVERTED = 0.6  # median share of foreground from which masks look inverted


def evenly_spaced(count: int, share: float) -> list[bool]:
    """Mark a share of `count` positions, evenly spaced, the first one included.

    A share of 0.1 marks positions 0, 10, 20, …: the lab report's `index % 10 == 0`.
    """
    exact = Fraction(str(share))  # 0.1 is 1/10 here, so that position 30 is not lost to rounding
    return [ceil(i * exact) < ceil((i + 1) * exact) for i in range(count)]


class Checked(NamedTuple):
    """What is known of an image and its trimap; `reason` says why they are unusable."""

    reason: str | None
    hashes: str = ""  # of both files
    size: tuple[int, int] = (0, 0)  # width and height in pixels
    share: float = 0.0  # of pixels that are not background


def check_pair(raw: Path, image_id: str) -> Checked:
    """Check that an image and its trimap exist, decode, agree in size and hold allowed values."""
    image, trimap = image_path(raw, image_id), trimap_path(raw, image_id)
    try:
        width, height = open_rgb(image).size
        labels = read_trimap(trimap)
    except InputError as error:  # by its id: a person's own files have other names
        named = str(error).replace(str(image), f"image {image_id}").replace(str(trimap), f"mask {image_id}")
        return Checked(named)
    mask_height, mask_width = labels.shape
    if (width, height) != (mask_width, mask_height):
        turned = (width, height) == (mask_height, mask_width)
        hint = "; one of them is turned by 90 degrees, see data.folder.orientation" if turned else ""
        return Checked(f"image {image_id} is {width}x{height}, its mask {mask_width}x{mask_height}{hint}")
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (image, trimap)]
    return Checked(None, " ".join(hashes), (width, height), float((labels != BACKGROUND).mean()))


def check_dataset(raw: Path) -> dict[str, Checked]:
    """Check all listed images of the dataset in folder `raw`; raises `InputError` for one listed twice."""
    listed = read_list(raw / TRAINVAL) + read_list(raw / TEST)
    if repeated := _first_repeated(listed):
        raise InputError(f"{repeated} is listed twice in {raw / TRAINVAL} and {raw / TEST}")
    with ThreadPoolExecutor(usable_cores()) as pool:
        checks = pool.map(lambda each: check_pair(raw, each), listed)
        return dict(zip(listed, tqdm(checks, "checking", len(listed), disable=None), strict=True))


def describe(checked: dict[str, Checked]) -> list[str]:
    """Return lines that tell a person whether these are the images and masks that they meant."""
    usable = {image_id: each for image_id, each in checked.items() if not each.reason}
    sizes = sorted((each.size for each in usable.values()), key=lambda size: size[0] * size[1])
    shares = np.array([each.share for each in usable.values()])
    low, median, high = np.percentile(shares, (25, 50, 75))
    empty, full = int((shares == 0).sum()), int((shares == 1).sum())
    smallest, middle, largest = (f"{w}x{h}" for w, h in (sizes[0], sizes[len(sizes) // 2], sizes[-1]))
    lines = [
        f"{len(usable)} of {len(checked)} images are usable: {smallest} to {largest} pixels, median {middle}",
        f"share of pixels that are not background: median {median:.3f}, quartiles {low:.3f} and {high:.3f};"
        f" {empty} masks are empty, {full} are full",
    ]
    if full:
        first = next(image_id for image_id, each in usable.items() if each.share == 1)
        lines.append(
            f"warning: masks without any background: {full}, the first {first}; is their background 0?"
            " (data.folder.mask_threshold)"
        )
    if median > INVERTED:
        lines.append(
            f"warning: in half of the masks, more than {median:.0%} is foreground; if they are inverted,"
            " invert them, or set data.foreground: [background]"
        )
    return lines


def split_dataset(
    raw: Path,
    val_fraction: float,
    limit: int | None,
    max_dropped: float,
    checked: dict[str, Checked],
) -> Split:
    """Split the dataset in folder `raw` by its lists; `checked` is what `check_dataset` returned.

    The share `val_fraction` of trainval.txt validates, evenly spaced and counted before anything is
    dropped; the rest trains, of which `limit` evenly spaced images are kept. Raises `InputError`
    if more than the share `max_dropped` of the listed images is unusable, if a list names an image twice,
    or if a part is left empty.
    """
    trainval, test = read_list(raw / TRAINVAL), read_list(raw / TEST)
    listed = trainval + test
    dropped = [Dropped(id=name, reason=each.reason) for name, each in checked.items() if each.reason]
    if len(dropped) > max_dropped * len(listed):
        first = "; ".join(each["reason"] for each in dropped[:NAMED])
        raise InputError(
            f"{len(dropped)} of {len(listed)} images are unusable, more than data.max_dropped "
            f"= {max_dropped} allows; fix them or raise it. The first: {first}"
        )
    validates = dict(zip(trainval, evenly_spaced(len(trainval), val_fraction), strict=True))
    kept = {name for name, each in checked.items() if not each.reason}
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
    pixels = "".join(f"{each} {checked[each].hashes}\n" for ids in parts.values() for each in ids)
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
