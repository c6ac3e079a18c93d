"""Reading images and trimaps, whatever somebody has put there."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from segmentation.common.dataset_layout import BACKGROUND, BORDER, PET
from segmentation.common.errors import InputError

PART_VALUES = {"pet": PET, "background": BACKGROUND, "border": BORDER}

# Pillow would hand an EPS file to Ghostscript, which runs it as a program.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM", "TGA")

DEEP = ("I;16", "I;16L", "I;16B", "I")  # Pillow's modes of grey images with more than 8 bits

# Above Image.MAX_IMAGE_PIXELS Pillow warns, above twice as many it refuses: the warning helps nobody.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", "Corrupt EXIF data")


Source = str | Path | IO[bytes]  # where a file is, or its content, open for reading


@contextmanager
def _opened(source: Source, what: str) -> Iterator[Image.Image]:
    name = _name(source)
    try:
        # As a file: given a name, Pillow maps an uncompressed TIFF, and scrambles one that is to be turned.
        with (
            Path(source).open("rb") if isinstance(source, str | Path) else nullcontext(source) as file,
            Image.open(file, formats=FORMATS) as image,
        ):
            yield image
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except UnidentifiedImageError:
        raise InputError(f"{name}: does not decode as {what} (of no known format)") from None
    except InputError:
        raise
    except Exception as error:  # a broken file can fail in any of the formats' parsers
        raise InputError(f"{name}: does not decode as {what} ({error or type(error).__name__})") from None


def _name(source: Source) -> str:
    return str(source) if isinstance(source, str | Path) else "the image"


def image_size(source: Source) -> tuple[int, int]:
    """Return the width and height that an image has as it is stored, in pixels, without decoding it.

    Raises `InputError` if the file is missing or is not an image.
    """
    with _opened(source, "an image") as image:
        return image.size


def open_rgb(source: Source, upright: bool = False, white: int | None = None) -> Image.Image:
    """Decode an image, whatever format its content has, to RGB; of an animation, the first frame.

    With `upright` the EXIF orientation is applied. A dataset is read without: its masks belong to the pixels
    as they are stored. In a grey image with more than 8 bits, `white` is the value that becomes 255 (Pillow
    itself reduces colour to 8 bits). Raises `InputError` if the file is missing or does not decode, or for
    such a grey image without `white`.
    """
    name = _name(source)
    with _opened(source, "an image") as image:
        image.load()
        if upright:
            with suppress(Exception):  # damaged EXIF, but the pixels are there
                ImageOps.exif_transpose(image, in_place=True)
        if image.mode in DEEP:  # converting these would clip almost all to white
            values = np.asarray(image)
            if white is None:
                raise InputError(
                    f"{name}: has more than 8 bits per channel, values up to {values.max()}; say which value"
                    " is white (data.folder.white, --white or ?white=), or save it with 8"
                )
            return to_8_bits(values, white).convert("RGB")
        if image.mode == "F":
            raise InputError(f"{name}: holds floating-point numbers; save it with 8 bits per channel")
        if "transparency" in image.info:  # Pillow warns without this step
            return image.convert("RGBA").convert("RGB")
        return image.convert("RGB")


def to_8_bits(values: NDArray[Any], white: int) -> Image.Image:
    """Return a grey image of the values `(H, W)`, scaled so that `white` becomes 255, and clipped."""
    return Image.fromarray(np.clip(np.rint(values * (255 / white)), 0, 255).astype(np.uint8))


def read_image(source: Source, upright: bool = False, white: int | None = None) -> NDArray[np.uint8]:
    """Return an image as an `(H, W, 3)` array, RGB; arguments and errors as in `open_rgb`."""
    return np.asarray(open_rgb(source, upright, white))


def read_labels(path: Path) -> NDArray[np.generic]:
    """Return a label image as the array of values that are stored: palette indices, not colours.

    The shape is `(H, W)` for one channel, `(H, W, C)` otherwise.
    Raises `InputError` if the file is missing or does not decode.
    """
    with _opened(path, "a mask") as image:
        return np.asarray(image)


def read_trimap(path: Path) -> NDArray[np.uint8]:
    """Return a trimap as an `(H, W)` array of 1 (pet), 2 (background) and 3 (border).

    Raises `InputError` if the file is missing, does not decode or contains anything else.
    """
    labels = read_labels(path)
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise InputError(f"{path}: a trimap has one 8-bit channel, not {labels.shape} {labels.dtype}")
    values = np.flatnonzero(np.bincount(labels.ravel(), minlength=256))
    if not set(values) <= set(PART_VALUES.values()):
        raise InputError(f"{path}: a trimap contains only 1, 2 and 3, not {', '.join(map(str, values[:8]))}")
    return labels.astype(np.uint8, copy=False)


def foreground_mask(trimap: NDArray[np.uint8], foreground: Sequence[str]) -> NDArray[np.uint8]:
    """Return an `(H, W)` mask, 1 where the trimap shows one of the parts named in `foreground`."""
    return np.isin(trimap, [PART_VALUES[part] for part in foreground]).astype(np.uint8)
