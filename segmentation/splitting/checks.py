"""Which images are usable, and what is known of them."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segmentation.common import dataset_layout as layout
from segmentation.common.cores import usable_cores
from segmentation.common.errors import InputError
from segmentation.common.geometry import Geometry
from segmentation.common.image_io import foreground_mask, open_rgb, read_trimap
from segmentation.common.progress import progress
from segmentation.splitting.near_duplicates import difference_hash

INVERTED = 0.6  # median share of foreground from which masks look inverted


class Checked(NamedTuple):
    """What is known of an image and its trimap; `reason` says why they are unusable."""

    reason: str | None
    sha256: str = ""  # of both files
    size: tuple[int, int] = (0, 0)  # width and height in pixels
    share: float = 0.0  # of pixels that are not background
    image_hash: bytes = b""  # its difference hash
    kept: float | None = None  # share of the foreground's area that a network sees; None: there is none


def check_pair(raw: Path, image_id: str, foreground: Sequence[str], geometry: Geometry) -> Checked:
    """Check that an image and its trimap exist, decode, agree in size and hold allowed values."""
    image_path, trimap_path = layout.image_path(raw, image_id), layout.trimap_path(raw, image_id)
    try:
        image = open_rgb(image_path)
        trimap = read_trimap(trimap_path)
    except InputError as error:  # by its id: a person's own files have other names
        reason = str(error).replace(str(image_path), f"image {image_id}")
        return Checked(reason.replace(str(trimap_path), f"mask {image_id}"))
    if image.size != trimap.shape[::-1]:
        turned = "; one of them is turned by 90 degrees, see data.folder.orientation"
        hint = turned if image.size == trimap.shape else ""
        mask_size = _size(trimap.shape[::-1])
        return Checked(f"image {image_id} is {_size(image.size)}, its mask {mask_size}{hint}")
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (image_path, trimap_path)]
    share, mask = float((trimap != layout.BACKGROUND).mean()), foreground_mask(trimap, foreground)
    kept = geometry.kept_area(mask) if mask.any() else None
    return Checked(None, " ".join(hashes), image.size, share, difference_hash(image), kept)


def check_dataset(raw: Path, foreground: Sequence[str], geometry: Geometry) -> dict[str, Checked]:
    """Check all listed images of the dataset in folder `raw`; raises `InputError` for one listed twice."""
    lists = [layout.TRAINVAL, layout.TEST] if layout.has_lists(raw) else [layout.LIST]
    ids = [image_id for path in lists for image_id in layout.read_list(raw / path)]
    if repeated := [image_id for image_id, count in Counter(ids).items() if count > 1]:
        where = " and ".join(str(raw / path) for path in lists)
        raise InputError(f"{repeated[0]} is listed twice in {where}")
    with ThreadPoolExecutor(usable_cores()) as pool:
        checks = pool.map(lambda image_id: check_pair(raw, image_id, foreground, geometry), ids)
        return dict(zip(ids, progress(checks, "checking", len(ids)), strict=True))


def describe(checked: Mapping[str, Checked]) -> list[str]:
    """Return lines that tell a person whether these are the images and masks that they meant."""
    usable = {image_id: pair for image_id, pair in checked.items() if not pair.reason}
    sizes = sorted((pair.size for pair in usable.values()), key=lambda size: size[0] * size[1])
    smallest, middle, largest = (_size(sizes[index]) for index in (0, len(sizes) // 2, -1))
    shares = np.array([pair.share for pair in usable.values()])
    low, median, high = np.percentile(shares, (25, 50, 75))
    full = [image_id for image_id, pair in usable.items() if pair.share == 1]
    lines = [
        f"{len(usable)} of {len(checked)} images are usable: {smallest} to {largest} pixels, median {middle}",
        f"share of pixels that are not background: median {median:.3f}, quartiles {low:.3f} and {high:.3f};"
        f" {(shares == 0).sum()} masks are empty, {len(full)} are full",
    ]
    if full:
        lines.append(
            f"warning: masks without any background: {len(full)}, the first {full[0]}; is their background 0?"
            " (data.folder.mask_threshold)"
        )
    if median > INVERTED:
        lines.append(
            f"warning: in half of the masks, more than {median:.0%} is foreground; if they are inverted,"
            " invert them, or set data.foreground: [background]"
        )
    return lines


def describe_small(checked: Mapping[str, Checked], geometry: Geometry) -> list[str]:
    """Return the lines about foreground that is too small in what networks see.

    Raises `InputError` if that is so in all images.
    """
    tiles = geometry.fit == "tiles"
    key, value = ("image.scale", geometry.scale) if tiles else ("image.size", geometry.size)
    kept = {image_id: pair.kept for image_id, pair in checked.items() if pair.kept is not None}
    vanished = [image_id for image_id, share in kept.items() if share == 0]
    halved = [image_id for image_id, share in kept.items() if 0 < share < 0.5]
    foreground = f"at {key} = {value:g} the foreground"
    if vanished and len(vanished) == len(kept):
        where = f"of all {len(kept)} images, the first {vanished[0]},"
        raise InputError(f"{foreground} {where} is too small to be seen; raise {key}")
    lines = []
    for ids, what, until in (
        (vanished, "is too small to be seen", " (until then, one pixel each stands for it)"),
        (halved, "loses more than half of its area", ""),
    ):
        if ids:
            where = f"in {len(ids)} of {len(kept)} images, the first {ids[0]}"
            lines.append(f"warning: {foreground} {what} {where}; raise {key}{until}")
    return lines


def _size(size: Sequence[int]) -> str:
    return "x".join(map(str, size))
