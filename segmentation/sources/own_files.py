"""One image of a person's folder, brought into `data/raw/`."""

import shutil
from contextlib import suppress
from enum import Enum
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from segmentation.common import image_io
from segmentation.common.errors import InputError
from segmentation.params import Folder

AS_STORED = 1  # EXIF's orientation (TIFF 6.0, Orientation): 1 to 8, of which 5 to 8 swap width and height
INVERSE_ORIENTATION = {6: 8, 8: 6}  # quarter turns; the other orientations undo themselves


class Remark(Enum):
    """What the user is told about some of the files, and what follows their number."""

    UNDECIDED = "images that fit their masks both as they are stored and upright", ""
    TURNED = "images brought upright by their EXIF orientation", ""
    TRANSPARENT = "images with transparent pixels, laid on white", ""
    DEEP_GREY = "grey images with more than 8 bits", "; largest value {largest}, {becomes}"
    DEEP_COLOR = "colour images with 16 bits per channel", "; {becomes}"
    REDUCED = (
        "warning: colour images with 16 bits per channel, reduced to their upper 8",
        "; if they look black, set data.folder.white to the value that becomes 255",
    )
    SHADED = "warning: masks with more than two values", "; foreground is {rule} (data.folder.mask_threshold)"
    INDEXED = (
        "masks with a coloured palette",
        "; the numbers of the colours are their values, and 0 is background",
    )
    FAINT = (
        "warning: masks that count as empty",
        "; no value reaches data.folder.mask_threshold = {threshold}",
    )


def write_image(
    image: Path, destination: Path, mask_size: tuple[int, int] | None, rules: Folder
) -> dict[Remark, int]:
    """Write an image upright, if only that fits its mask, and with 8 bits; what does not decode is copied.

    `mask_size` is the width and height of its mask, None if that cannot be read: it is left to the split.
    Nothing is written where the rules must first say which way up, or how bright, it is. Returns the remarks
    about it: `UNDECIDED` with its EXIF orientation, `DEEP_GREY` with its largest value, others with True.
    """
    try:
        with image_io.opened(image, "an image") as opened:
            deep_color = image_io.is_deep_color(opened)  # first: asking for EXIF may load the image
            tiff, (stored, upright, tag) = opened.format == "TIFF", sizes(opened)
            largest = int(np.asarray(opened).max()) if opened.mode in image_io.DEEP_GREY_MODES else None
            transparent = image_io.is_transparent(opened)
    except InputError:
        shutil.copyfile(image, destination)
        return {}
    if tag != AS_STORED and rules.orientation is None and mask_size == stored == upright:
        return {Remark.UNDECIDED: tag}
    turned = rules.orientation == "upright" if rules.orientation else mask_size == upright
    turn = turned and tag != AS_STORED
    deep = Remark.DEEP_COLOR if rules.white else Remark.REDUCED
    applies = {Remark.TURNED: turn, Remark.TRANSPARENT: transparent, deep: deep_color}
    remarks: dict[Remark, int] = {remark: True for remark, holds in applies.items() if holds}
    if largest is not None:
        remarks[Remark.DEEP_GREY] = largest
        if rules.white is None:
            return remarks
    elif Remark.DEEP_COLOR not in remarks and (tag == AS_STORED or turn == tiff):
        shutil.copyfile(image, destination)
        return remarks
    try:
        pixels = image_io.open_rgb(image, upright=turn, white=rules.white)
    except InputError:
        shutil.copyfile(image, destination)
        return {}
    if tiff and tag != AS_STORED and not turn:
        pixels.getexif()[ExifTags.Base.Orientation] = INVERSE_ORIENTATION.get(tag, tag)
        ImageOps.exif_transpose(pixels, in_place=True)
    pixels.save(destination, "PNG")
    return remarks


def sizes(image: Image.Image) -> tuple[tuple[int, int], tuple[int, int], int]:
    """Return width and height of an opened image as it is stored, and upright, and its EXIF orientation."""
    size, tag = image.size, AS_STORED  # unless EXIF says another, and is not damaged
    with suppress(Exception):
        tag = int(image.getexif().get(ExifTags.Base.Orientation, AS_STORED))
    tag = tag if 1 <= tag <= 8 else AS_STORED
    # Pillow gives the size and pixels of a TIFF upright, and of all else as they are stored.
    other_size = size[::-1] if tag >= 5 else size
    return (other_size, size, tag) if image.format == "TIFF" else (size, other_size, tag)
