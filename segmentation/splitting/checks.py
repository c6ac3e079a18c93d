"""Which images are usable, and what is known of them."""

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from segmentation.common.cores import usable_cores
from segmentation.common.dataset_layout import (
    BACKGROUND,
    LIST,
    TEST,
    TRAINVAL,
    has_lists,
    image_path,
    read_list,
    trimap_path,
)
from segmentation.common.errors import InputError
from segmentation.common.image_io import foreground_mask, open_rgb, read_trimap
from segmentation.geometry import Geometry
from segmentation.splitting.near_duplicates import difference_hash

INVERTED = 0.6  # median share of foreground from which masks look inverted


class Checked(NamedTuple):
    """What is known of an image and its trimap; `reason` says why they are unusable."""

    reason: str | None
    hashes: str = ""  # of both files
    size: tuple[int, int] = (0, 0)  # width and height in pixels
    share: float = 0.0  # of pixels that are not background
    look: bytes = b""  # its difference hash
    kept: float | None = None  # share of the foreground's area that a network sees; None: there is none


def check_pair(raw: Path, image_id: str, foreground: Sequence[str], geometry: Geometry) -> Checked:
    """Check that an image and its trimap exist, decode, agree in size and hold allowed values."""
    image, trimap = image_path(raw, image_id), trimap_path(raw, image_id)
    try:
        opened = open_rgb(image)
        labels = read_trimap(trimap)
    except InputError as error:  # by its id: a person's own files have other names
        named = str(error).replace(str(image), f"image {image_id}").replace(str(trimap), f"mask {image_id}")
        return Checked(named)
    (width, height), (mask_height, mask_width) = opened.size, labels.shape
    if (width, height) != (mask_width, mask_height):
        turned = (width, height) == (mask_height, mask_width)
        hint = "; one of them is turned by 90 degrees, see data.folder.orientation" if turned else ""
        return Checked(f"image {image_id} is {width}x{height}, its mask {mask_width}x{mask_height}{hint}")
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (image, trimap)]
    share, mask = float((labels != BACKGROUND).mean()), foreground_mask(labels, foreground)
    kept = float((geometry.coverage(mask) >= 0.5).mean() / mask.mean()) if mask.any() else None
    return Checked(None, " ".join(hashes), (width, height), share, difference_hash(opened), kept)


def check_dataset(raw: Path, foreground: Sequence[str], geometry: Geometry) -> dict[str, Checked]:
    """Check all listed images of the dataset in folder `raw`; raises `InputError` for one listed twice."""
    lists = [TRAINVAL, TEST] if has_lists(raw) else [LIST]
    listed = [each for path in lists for each in read_list(raw / path)]
    if repeated := _first_repeated(listed):
        raise InputError(f"{repeated} is listed twice in {' and '.join(str(raw / path) for path in lists)}")
    with ThreadPoolExecutor(usable_cores()) as pool:
        checks = pool.map(lambda each: check_pair(raw, each, foreground, geometry), listed)
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


def describe_small(checked: dict[str, Checked], size: int) -> list[str]:
    """Return the lines about foreground that is too small for squares of `size` pixels.

    Raises `InputError` if that is so in all images.
    """
    shown = {image_id: each.kept for image_id, each in checked.items() if each.kept is not None}
    vanished = [image_id for image_id, kept in shown.items() if kept == 0]
    halved = [image_id for image_id, kept in shown.items() if 0 < kept < 0.5]
    where = f"at image.size = {size}"
    if vanished and len(vanished) == len(shown):
        raise InputError(
            f"{where} the foreground of all {len(shown)} images is too small to be seen: it covers half of no"
            f" pixel, the first {vanished[0]}; raise image.size"
        )
    return [
        f"warning: {where} the foreground {what} in {len(ids)} of {len(shown)} images, the first {ids[0]};"
        f" raise image.size{remark}"
        for ids, what, remark in (
            (vanished, "is too small to be seen", " (until then, one pixel each stands for it)"),
            (halved, "loses more than half of its area", ""),
        )
        if ids
    ]


def _first_repeated(ids: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for each in ids:
        if each in seen:
            return each
        seen.add(each)
    return None
