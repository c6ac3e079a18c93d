"""Reading images and trimaps of any format, by their content."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from errno import EINVAL, EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, EOVERFLOW
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from segmentation.common.dataset_layout import BACKGROUND, BORDER, PET
from segmentation.common.errors import Fault, InputError

PART_VALUES = {"pet": PET, "background": BACKGROUND, "border": BORDER}

# Pillow would hand an EPS file to Ghostscript, which runs it as a program.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM", "TGA", "HEIF")
pillow_heif.register_heif_opener()  # HEIC: the photos of iPhones; it gives them upright

DEEP_GREY_MODES = ("I;16", "I;16L", "I;16B", "I")  # Pillow's, of grey images with more than 8 bits

# Above Image.MAX_IMAGE_PIXELS Pillow warns, above twice as many it refuses: the refusal is enough.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", "Corrupt EXIF data")

# Errors that a name or a file's content can cause; all others are the machine's.
_FILE_ERRORS = (ENOENT, EINVAL, EISDIR, ENOTDIR, ENAMETOOLONG, ELOOP, EOVERFLOW)

Source = str | Path | IO[bytes]  # where a file is, or its content, open for reading


@contextmanager
def opened(source: Source, what: str) -> Iterator[Image.Image]:
    """Yield an image; any error, also in the block, becomes an `InputError`, or the machine's `Fault`."""
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
    except (InputError, Fault):
        raise
    except Exception as error:  # a broken file can fail in any of the formats' parsers
        refuse_machine_faults(error, name)
        reason = str(error) or type(error).__name__
        raise InputError(f"{name}: does not decode as {what} ({reason})") from None


def refuse_machine_faults(error: Exception, name: object) -> None:
    """Raise `Fault` for an error of the machine, such as of its memory or disk, while `name` was read.

    What remains is the content of the file. Were a disk's error taken for that, good images would be dropped,
    and the rest would be split in another way.
    """
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        raise Fault(f"{name}: out of memory while it is decoded; close other programs, or scale it down")
    if isinstance(error, OSError) and error.errno not in (None, *_FILE_ERRORS):
        raise Fault(f"{name}: cannot be read ({error.strerror})")


def _name(source: Source) -> str:
    return str(source) if isinstance(source, str | Path) else "the image"


def is_image_file(path: Path) -> bool:
    """Whether a file has the name of an image, though it may be broken, or the content of one."""
    if Image.registered_extensions().get(path.suffix.lower()) in FORMATS:
        return True
    with suppress(InputError):
        return os.access(path, os.R_OK) and bool(image_size(path))
    return False


def image_size(source: Source) -> tuple[int, int]:
    """Return the width and height that an image has as it is stored, in pixels, without decoding it.

    Raises `InputError` if the file is missing or is not an image.
    """
    with opened(source, "an image") as image:
        return image.size


def open_rgb(source: Source, upright: bool = False, white: int | None = None) -> Image.Image:
    """Decode an image, whatever format its content has, to RGB, on white where it is transparent.

    Arguments and errors as in `open_image`.
    """
    return on_white(open_image(source, upright, white))


def on_white(image: Image.Image) -> Image.Image:
    """Lay an image, RGB or RGBA, on white: what is transparent may have any colour, which nobody sees."""
    if image.mode == "RGB":
        return image
    ground = Image.new("RGB", image.size, "white")
    ground.paste(image, mask=image.getchannel("A"))
    ground.info = image.info
    return ground


def is_transparent(image: Image.Image) -> bool:
    """Whether an opened image has pixels that are not opaque. One that may have is decoded."""
    return image.has_transparency_data and bool((np.asarray(image.convert("RGBA"))[..., 3] < 255).any())


def open_image(source: Source, upright: bool = False, white: int | None = None) -> Image.Image:
    """Decode an image, whatever format its content has, to RGB, or RGBA if it has transparent pixels.

    Of an animation, that is the first frame. With `upright` the EXIF orientation is applied. A dataset is
    read without: its masks belong to the pixels as they are stored. In an image with more than 8 bits per
    channel, `white` is the value that becomes 255. Without it, colour keeps its upper 8 bits, as Pillow has
    it, and grey is refused. Raises `InputError` if the file is missing or does not decode, or for such a grey
    image; `Fault` if memory or disk fail.
    """
    name = _name(source)
    with opened(source, "an image") as image:
        content = _content(image) if white is not None and is_deep_color(image) else None
        image.load()
        if image.mode in DEEP_GREY_MODES:  # converting these would clip almost all to white
            values = np.asarray(image)
            if white is None:
                raise InputError(
                    f"{name}: has more than 8 bits per channel, values up to {values.max()}; say which value"
                    " is white (data.folder.white, --white or ?white=), or save it with 8"
                )
            decoded = to_8_bits(values, white)
        elif image.mode == "F":
            raise InputError(f"{name}: holds floating-point numbers; save it with 8 bits per channel")
        else:
            mode = "RGBA" if image.has_transparency_data else "RGB"
            decoded = image if image.mode == mode else image.convert(mode)  # which would copy it
            if content is not None and white is not None:
                decoded = _with_deep_colors(decoded, content, white)
        decoded.info = {key: value for key, value in image.info.items() if key != "transparency"}
        if upright:
            try:
                ImageOps.exif_transpose(decoded, in_place=True)
            except Exception as error:  # damaged EXIF, but the pixels are there
                refuse_machine_faults(error, name)
        return decoded.convert("RGB") if decoded.mode == "L" else decoded


def is_deep_color(image: Image.Image) -> bool:
    """Whether an image, not loaded yet, has colour with 16 bits per channel, of which Pillow takes 8.

    JPEG 2000 does not tell.
    """
    if image.mode not in ("RGB", "RGBA", "LA"):
        return False
    tiles = getattr(image, "tile", [])
    if tiles and tiles[0].codec_name in ("ppm", "ppm_plain"):
        return bool(tiles[0].args[1] > 255)  # the value of white, by the file
    return ";16" in str(tiles) and "BGR;16" not in str(tiles)  # that is 5-6-5 bits


def _content(image: Image.Image) -> bytes:
    assert isinstance(image, ImageFile.ImageFile) and image.fp is not None
    image.fp.seek(0)
    return image.fp.read()


def _with_deep_colors(image: Image.Image, content: bytes, white: int) -> Image.Image:
    """Return `image`, RGB or RGBA, with the colours of 16 bits that its file has, scaled to 8."""
    values = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)  # it turns as Pillow does
    if values is None or values.dtype != np.uint16 or values.shape[:2] != (image.height, image.width):
        raise ValueError("its colours of 16 bits are not understood; save it with 8")
    colors = to_8_bits(values[..., 2::-1], white)
    if image.mode == "RGBA":
        colors.putalpha(image.getchannel("A"))
    return colors


def to_8_bits(values: NDArray[Any], white: int) -> Image.Image:
    """Return an image of the values `(H, W)` or `(H, W, 3)`: `white` becomes 255, and what is above too."""
    return Image.fromarray(np.clip(np.rint(values * (255 / white)), 0, 255).astype(np.uint8))


def read_image(source: Source, upright: bool = False, white: int | None = None) -> NDArray[np.uint8]:
    """Return an image as an `(H, W, 3)` array, RGB; arguments and errors as in `open_image`."""
    return np.asarray(open_rgb(source, upright, white))


def read_trimap(path: Path) -> NDArray[np.uint8]:
    """Return a trimap as an `(H, W)` array of 1 (pet), 2 (background) and 3 (border).

    Raises `InputError` if the file is missing, does not decode or contains anything else.
    """
    with opened(path, "a mask") as image:
        labels = np.asarray(image)  # of a palette, the indices
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise InputError(f"{path}: a trimap has one 8-bit channel, not {labels.shape} {labels.dtype}")
    values = np.flatnonzero(np.bincount(labels.ravel(), minlength=256))
    if not set(values) <= set(PART_VALUES.values()):
        raise InputError(f"{path}: a trimap contains only 1, 2 and 3, not {', '.join(map(str, values[:8]))}")
    return labels.astype(np.uint8, copy=False)


def foreground_mask(trimap: NDArray[np.uint8], foreground: Sequence[str]) -> NDArray[np.uint8]:
    """Return an `(H, W)` mask, 1 where the trimap shows one of the parts named in `foreground`."""
    return np.isin(trimap, [PART_VALUES[part] for part in foreground]).astype(np.uint8)
