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
from segmentation.common.image_io import (
    DEEP,
    FORMATS,
    image_size,
    is_deep_color,
    open_rgb,
    read_labels,
    refuse_machine_faults,
)

LOSSLESS = {"PNG", "TIFF", "BMP", "GIF", "PPM", "TGA"}  # formats, by content: noise would be foreground
SWAPPING = {5, 6, 7, 8}  # values of EXIF's orientation that swap width and height
UNDO = {  # what turns an upright image to how it is stored, by EXIF's orientation (TIFF 6.0, Orientation)
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


class Rules(NamedTuple):
    """How a person's files are read: `data.folder` of params.yaml."""

    mask_threshold: float | None  # the least value of a mask that is foreground; None: anything but 0
    orientation: str | None  # "stored" or "upright"; None: the one that fits the mask
    white: int | None  # value of a deep image that becomes 255; None: grey is refused, colour reduced


class Findings(NamedTuple):
    """What is to be said about an image and its mask."""

    turned: bool = False  # the image was brought upright
    undecided: int | None = None  # the EXIF orientation of an image that fits its mask both ways
    largest: int | None = None  # the largest value of a grey image with more than 8 bits
    deep_color: bool = False  # a colour image with 16 bits per channel
    shaded: bool = False  # the mask holds more than two values
    faint: bool = False  # the mask holds values, but none that reaches the threshold
    indexed: bool = False  # the palette of the mask has colours, so its indices are the values


def write_image(image: Path, destination: Path, mask_size: tuple[int, int] | None, rules: Rules) -> Findings:
    """Write an image upright, if it must be, and with 8 bits; what does not decode is copied."""
    try:
        with image.open("rb") as file, Image.open(file, formats=FORMATS) as opened:
            deep_color = is_deep_color(opened)  # first: asking for EXIF may load the image
            shown, tiff, tag = opened.size, opened.format == "TIFF", _orientation(opened)
            largest = int(np.asarray(opened).max()) if opened.mode in DEEP else None
    except Exception as error:  # a broken file can fail in any of the formats' parsers
        return _copied(image, destination, error)
    # Pillow shows and loads a TIFF upright, and all else as it is stored.
    turned = shown[::-1] if tag in SWAPPING else shown
    stored, upright = (turned, shown) if tiff else (shown, turned)
    turn = tag != 1 and _must_turn(stored, upright, mask_size, rules.orientation)
    if turn is None:
        return Findings(undecided=tag)
    found = Findings(turn, largest=largest, deep_color=deep_color)
    if largest is not None and rules.white is None:
        return found
    if largest is None and not (deep_color and rules.white) and (tag == 1 or turn == tiff):
        shutil.copyfile(image, destination)
        return found
    try:
        pixels = open_rgb(image, upright=turn, white=rules.white)
    except InputError as error:
        return _copied(image, destination, error)
    if tiff and tag != 1 and not turn:
        pixels = pixels.transpose(UNDO[tag])
    pixels.save(destination, "PNG")
    return found


def write_trimap(mask: Path, destination: Path, rules: Rules) -> Findings:
    """Write a mask as a trimap; what does not decode is copied. Raises `InputError` for a lossy mask."""
    try:
        with mask.open("rb") as file, Image.open(file, formats=FORMATS) as opened:
            channels, kind = opened.getbands(), opened.format
            lossless = kind in LOSSLESS and opened.info.get("compression") != "jpeg"
            palette = np.array(opened.getpalette() or [], np.uint8).reshape(-1, 3)
        values = _colors(read_labels(mask), channels)
    except Exception as error:
        return _copied(mask, destination, error)
    if not lossless:
        raise InputError(
            f"{mask}: masks must be lossless, or compression noise counts as foreground; save them as PNG"
        )
    if not np.isfinite(values).all():
        raise InputError(f"{mask}: holds NaN or infinity; a mask holds numbers, and 0 is background")
    grey = bool((palette == palette[:, :1]).all())
    if len(palette) and grey:  # black and white in any order: the colours are what a person sees
        values = np.pad(palette[:, 0], (0, 256 - len(palette)))[values]
    trimap = mask_to_trimap(values.max(axis=-1), rules.mask_threshold)
    Image.fromarray(trimap).save(destination, "PNG")
    faint = bool(values.any() and not (trimap == layout.PET).any())
    return Findings(shaded=_holds_shades(values), faint=faint, indexed=not grey)


def _copied(file: Path, destination: Path, error: Exception) -> Findings:
    """Copy what does not decode, for the split to name it; raise an error of the machine."""
    refuse_machine_faults(error, file)
    shutil.copyfile(file, destination)
    return Findings()


def _orientation(image: Image.Image) -> int:
    """Return EXIF's orientation, 1 to 8; 1, as stored, where it is missing or damaged."""
    with suppress(Exception):
        tag = int(image.getexif().get(ExifTags.Base.Orientation, 1))
        return tag if tag in UNDO else 1
    return 1


def mask_size(mask: Path | None) -> tuple[int, int] | None:
    """Return width and height of a mask; None if there is none, or it cannot be read."""
    with suppress(InputError):
        return image_size(mask) if mask else None
    return None


def mask_to_trimap(values: NDArray[np.generic], threshold: float | None) -> NDArray[np.uint8]:
    """Turn the values `(H, W)` of a mask into a trimap `(H, W)`: 1 foreground, 2 background."""
    foreground = values != 0 if threshold is None else values >= threshold  # type: ignore[operator]
    return np.where(foreground, layout.PET, layout.BACKGROUND).astype(np.uint8)


def _holds_shades(values: NDArray[np.generic]) -> bool:
    """Whether a mask `(H, W, C)` holds more than two values, or colours."""
    if values.shape[-1] == 1:
        return len(np.unique(values)) > 2
    return len(np.unique(values.astype(np.int64) @ (1 << 16 * np.arange(values.shape[-1])))) > 2


def _colors(values: NDArray[np.generic], channels: Sequence[str]) -> NDArray[np.generic]:
    """Return the values of a mask, alpha apart: `(H, W, C)`."""
    return values[..., [channel != "A" for channel in channels]] if values.ndim == 3 else values[..., None]


def _must_turn(
    stored: tuple[int, int],
    upright: tuple[int, int],
    mask: tuple[int, int] | None,
    orientation: str | None,
) -> bool | None:
    """Return whether an image is brought upright; None if it fits its mask both ways and nobody decides."""
    if orientation is not None:
        return orientation == "upright"
    if mask == stored == upright:
        return None
    return mask == upright
