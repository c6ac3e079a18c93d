"""One image and its mask of a person's folder, brought into `data/raw/`."""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from segmentation.common import dataset_layout as layout
from segmentation.common.errors import InputError
from segmentation.common.image_io import DEEP, FORMATS, image_size, open_rgb, read_labels, to_8_bits

LOSSY = {"JPEG", "MPO", "WEBP"}  # formats, by content, whose noise would count as foreground
SWAPPING = {5, 6, 7, 8}  # values of EXIF's orientation that swap width and height


class Rules(NamedTuple):
    """How a person's files are read: `data.folder` of params.yaml."""

    mask_threshold: float | None  # the least value of a mask that is foreground; None: anything but 0
    orientation: str | None  # "stored" or "upright"; None: the one that fits the mask
    white: int | None  # the value of a deep grey image that becomes 255; None: such images are refused


class Findings(NamedTuple):
    """What is to be said about an image and its mask."""

    turned: bool = False  # the image was brought upright
    undecided: int | None = None  # the EXIF orientation of an image that fits its mask both ways
    largest: int | None = None  # the largest value of a grey image with more than 8 bits
    shades: int = 0  # number of different values in the mask, if more than two
    faint: bool = False  # the mask holds values, but none that reaches the threshold


def write_image(image: Path, destination: Path, mask_size: tuple[int, int] | None, rules: Rules) -> Findings:
    """Write an image upright, if it must be, and with 8 bits; what does not decode is copied."""
    try:
        with Image.open(image, formats=FORMATS) as opened:
            size, mode = opened.size, opened.mode
            # Pillow turns a TIFF by itself.
            tag = 1 if opened.format == "TIFF" else int(opened.getexif().get(ExifTags.Base.Orientation, 1))
            values = np.asarray(opened) if mode in DEEP else None
    except Exception:  # the split names what does not decode
        shutil.copyfile(image, destination)
        return Findings()
    if values is not None:
        if rules.white is not None:
            to_8_bits(values, rules.white).save(destination, "PNG")
        return Findings(largest=int(values.max()))
    turn = _must_turn(tag, size, mask_size, rules.orientation)
    if turn:
        open_rgb(image, upright=True).save(destination, "PNG", exif=b"")
    else:
        shutil.copyfile(image, destination)
    return Findings(turned=turn is True, undecided=tag if turn is None else None)


def write_trimap(mask: Path, destination: Path, rules: Rules) -> Findings:
    """Write a mask as a trimap; what does not decode is copied. Raises `InputError` for a lossy mask."""
    try:
        with Image.open(mask, formats=FORMATS) as opened:
            channels, lossy = opened.getbands(), opened.format in LOSSY
        values = _one_channel(read_labels(mask), channels)
    except (InputError, OSError, ValueError, Image.DecompressionBombError):
        shutil.copyfile(mask, destination)  # the split names what does not decode
        return Findings()
    if lossy:
        raise InputError(
            f"{mask}: masks must be lossless, or compression noise counts as foreground; save them as PNG"
        )
    trimap = mask_to_trimap(values, rules.mask_threshold)
    Image.fromarray(trimap).save(destination)
    shades = len(np.unique(values))
    faint = bool(values.any() and not (trimap == layout.PET).any())
    return Findings(shades=shades if shades > 2 else 0, faint=faint)


def mask_size(mask: Path | None) -> tuple[int, int] | None:
    """Return width and height of a mask; None if there is none, or it cannot be read."""
    with suppress(InputError):
        return image_size(mask) if mask else None
    return None


def mask_to_trimap(values: NDArray[np.generic], threshold: float | None) -> NDArray[np.uint8]:
    """Turn the values `(H, W)` of a mask into a trimap `(H, W)`: 1 foreground, 2 background."""
    foreground = values != 0 if threshold is None else values >= threshold  # type: ignore[operator]
    return np.where(foreground, layout.PET, layout.BACKGROUND).astype(np.uint8)


def _one_channel(values: NDArray[np.generic], channels: Sequence[str]) -> NDArray[np.generic]:
    """Return the largest value of each pixel `(H, W)`, alpha apart."""
    if values.ndim == 3:
        values = values[..., [channel != "A" for channel in channels]].max(axis=-1)
    return values


def _must_turn(
    tag: int, size: tuple[int, int], mask: tuple[int, int] | None, orientation: str | None
) -> bool | None:
    """Return whether an image is brought upright; None if it fits its mask both ways and nobody decides."""
    if tag not in range(2, 9):
        return False
    if orientation is not None:
        return orientation == "upright"
    upright = size[::-1] if tag in SWAPPING else size
    if mask == size == upright:
        return None
    return mask == upright
