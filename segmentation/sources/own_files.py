"""One image and its mask of a person's folder, brought into `data/raw/`."""

import shutil
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from segmentation.common import dataset_layout as layout
from segmentation.common import image_io
from segmentation.common.errors import InputError

LOSSLESS = {"PNG", "TIFF", "BMP", "GIF", "PPM", "TGA"}  # formats, by content: noise would be foreground
AS_STORED = 1  # EXIF's orientation (TIFF 6.0, Orientation): 1 to 8, of which 5 to 8 swap width and height
INVERSE_ORIENTATION = {6: 8, 8: 6}  # quarter turns; the other orientations undo themselves


class Rules(NamedTuple):
    """How a person's files are read: `data.folder` of params.yaml."""

    mask_threshold: float | None  # the least value of a mask that is foreground; None: anything but 0
    orientation: str | None  # "stored" or "upright"; None: the one that fits the mask
    white: int | None  # value of a deep image that becomes 255; None: grey is refused, colour reduced


class Remark(Enum):
    """What the user is told about some of the files."""

    UNDECIDED = "images that fit their masks both as they are stored and upright"
    TURNED = "images brought upright by their EXIF orientation"
    DEEP_GREY = "grey images with more than 8 bits"
    DEEP_COLOR = "colour images with 16 bits per channel"
    REDUCED = "warning: colour images with 16 bits per channel, reduced to their upper 8"
    SHADED = "warning: masks with more than two values"
    INDEXED = "masks with a coloured palette"
    FAINT = "warning: masks that count as empty"


def write_image(image: Path, destination: Path, mask: Path | None, rules: Rules) -> dict[Remark, int]:
    """Write an image upright, if only that fits its mask, and with 8 bits; what does not decode is copied.

    Nothing is written where the rules must first say which way up, or how bright, it is. Returns the remarks
    about it: `UNDECIDED` with its EXIF orientation, `DEEP_GREY` with its largest value, others with True.
    """
    mask_size = None
    with suppress(InputError):  # a mask that cannot be read is left to the split
        mask_size = image_io.image_size(mask) if mask else None
    try:
        with image.open("rb") as file, Image.open(file, formats=image_io.FORMATS) as opened:
            deep_color = image_io.is_deep_color(opened)  # first: asking for EXIF may load the image
            size, tiff, tag = opened.size, opened.format == "TIFF", _orientation(opened)
            largest = int(np.asarray(opened).max()) if opened.mode in image_io.DEEP_GREY_MODES else None
    except Exception as error:  # a broken file can fail in any of the formats' parsers
        return _copy(image, destination, error)
    # Pillow gives the size and pixels of a TIFF upright, and of all else as they are stored.
    other_size = size[::-1] if tag >= 5 else size
    stored, upright = (other_size, size) if tiff else (size, other_size)
    if tag == AS_STORED:
        turn = False
    elif rules.orientation:
        turn = rules.orientation == "upright"
    elif mask_size == stored == upright:
        return {Remark.UNDECIDED: tag}
    else:
        turn = mask_size == upright
    remarks: dict[Remark, int] = {Remark.TURNED: True} if turn else {}
    if deep_color:
        remarks[Remark.DEEP_COLOR if rules.white else Remark.REDUCED] = True
    if largest is not None:
        remarks[Remark.DEEP_GREY] = largest
        if rules.white is None:
            return remarks
    elif Remark.DEEP_COLOR not in remarks and (tag == AS_STORED or turn == tiff):
        shutil.copyfile(image, destination)
        return remarks
    try:
        pixels = image_io.open_rgb(image, upright=turn, white=rules.white)
    except InputError as error:
        return _copy(image, destination, error)
    if tiff and tag != AS_STORED and not turn:
        pixels.getexif()[ExifTags.Base.Orientation] = INVERSE_ORIENTATION.get(tag, tag)
        ImageOps.exif_transpose(pixels, in_place=True)
    pixels.save(destination, "PNG")
    return remarks


def write_trimap(mask: Path, destination: Path, rules: Rules) -> dict[Remark, int]:
    """Write a mask as a trimap; what does not decode is copied. Raises `InputError` for a lossy mask."""
    try:
        with mask.open("rb") as file, Image.open(file, formats=image_io.FORMATS) as opened:
            channels = opened.getbands()
            lossless = opened.format in LOSSLESS and opened.info.get("compression") != "jpeg"
            palette = np.array(opened.getpalette() or [], np.uint8).reshape(-1, 3)
            values = np.asarray(opened.convert("L") if opened.mode == "1" else opened)
    except Exception as error:
        return _copy(mask, destination, error)
    if not lossless:
        raise InputError(
            f"{mask}: masks must be lossless, or compression noise counts as foreground; save them as PNG"
        )
    if values.ndim == 3:  # (H, W, C); alpha is not part of the mask
        values = values[..., [channel != "A" for channel in channels]]
    if not np.isfinite(values).all():
        raise InputError(f"{mask}: holds NaN or infinity; a mask holds numbers, and 0 is background")
    grey = bool((palette == palette[:, :1]).all())
    if grey and palette.any():  # black and white in any order: the colours are what a person sees
        values = np.pad(palette[:, 0], (0, 256 - len(palette)))[values]
    colors = values
    if values.ndim == 3:  # one number for each colour
        colors = values.astype(np.int64) @ (1 << 16 * np.arange(values.shape[-1]))
        values = values.max(axis=-1)
    trimap = mask_to_trimap(values, rules.mask_threshold)
    Image.fromarray(trimap).save(destination, "PNG")
    shaded, faint = len(np.unique(colors)) > 2, values.any() and not (trimap == layout.PET).any()
    applies = {Remark.SHADED: shaded, Remark.INDEXED: not grey, Remark.FAINT: faint}
    return {remark: True for remark, holds in applies.items() if holds}


def mask_to_trimap(values: NDArray[np.generic], threshold: float | None) -> NDArray[np.uint8]:
    """Turn the values `(H, W)` of a mask into a trimap `(H, W)`: 1 foreground, 2 background."""
    foreground = values != 0 if threshold is None else values >= threshold  # type: ignore[operator]
    return np.where(foreground, layout.PET, layout.BACKGROUND).astype(np.uint8)


def _copy(file: Path, destination: Path, error: Exception) -> dict[Remark, int]:
    """Copy what does not decode, for the split to name it; raise an error of the machine."""
    image_io.refuse_machine_faults(error, file)
    shutil.copyfile(file, destination)
    return {}


def _orientation(image: Image.Image) -> int:
    """Return EXIF's orientation, 1 to 8; 1, as stored, where it is missing or damaged."""
    with suppress(Exception):
        tag = int(image.getexif().get(ExifTags.Base.Orientation, AS_STORED))
        return tag if 1 <= tag <= 8 else AS_STORED
    return AS_STORED
