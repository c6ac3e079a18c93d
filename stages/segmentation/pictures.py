"""Reading pictures and trimaps from disk."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from stages.segmentation.errors import InputError
from stages.segmentation.layout import BACKGROUND, BORDER, PET

PART_VALUES = {"pet": PET, "background": BACKGROUND, "border": BORDER}

# What Pillow raises for broken files: besides its own errors, those of the formats' parsers.
_BROKEN = (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError)


def open_rgb(path: Path) -> Image.Image:
    """Decode a picture, whatever format its content has, to RGB.

    EXIF orientation is not applied: a mask belongs to the pixels as they are stored.
    Raises `InputError` where the file is missing, does not decode or has more than 8 bits a channel.
    """
    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):  # converting these would clip almost all to white
                raise InputError(f"{path}: has more than 8 bits a channel; save it with 8")
            return image.convert("RGB")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except _BROKEN as error:
        raise InputError(f"{path}: does not decode as a picture ({error})") from None


def read_image(path: Path) -> NDArray[np.uint8]:
    """Return a picture as an `(H, W, 3)` array, RGB; errors as in `open_rgb`."""
    return np.asarray(open_rgb(path))


def read_labels(path: Path) -> NDArray[np.generic]:
    """Return a label image as the array of values that are stored: palette indices, not colours.

    The shape is `(H, W)` for one channel, `(H, W, C)` otherwise.
    Raises `InputError` where the file is missing or does not decode.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except _BROKEN as error:
        raise InputError(f"{path}: does not decode as a mask ({error})") from None


def read_trimap(path: Path) -> NDArray[np.uint8]:
    """Return a trimap as an `(H, W)` array of 1 (pet), 2 (background) and 3 (border).

    Raises `InputError` where the file is missing, does not decode or holds anything else.
    """
    labels = read_labels(path)
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise InputError(f"{path}: a trimap has one channel of 8 bits, not {labels.shape} {labels.dtype}")
    values = np.flatnonzero(np.bincount(labels.ravel(), minlength=256))
    if not set(values) <= set(PART_VALUES.values()):
        raise InputError(f"{path}: a trimap holds 1, 2 and 3 only, not {', '.join(map(str, values[:8]))}")
    return labels.astype(np.uint8, copy=False)


def foreground_mask(trimap: NDArray[np.uint8], foreground: Sequence[str]) -> NDArray[np.uint8]:
    """Return an `(H, W)` mask, 1 where the trimap shows one of the parts named in `foreground`."""
    return np.isin(trimap, [PART_VALUES[part] for part in foreground]).astype(np.uint8)
