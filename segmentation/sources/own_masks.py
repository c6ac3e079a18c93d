"""The label of one image of a person's folder, a mask or shapes, brought into `data/raw/` as a trimap."""

import shutil
from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segmentation.common import dataset_layout as layout
from segmentation.common import image_io
from segmentation.common.errors import InputError
from segmentation.params import Folder
from segmentation.sources.annotations.shapes import AnnotatedImage, rasterize
from segmentation.sources.own_files import Remark, sizes, write_image

MAX_COLORS = 4096  # or values, of a mask of classes
LOSSLESS = {"PNG", "TIFF", "BMP", "GIF", "PPM", "TGA"}  # formats, by content: noise would be foreground


def write_mask(
    mask: Path, destination: Path, threshold: float | None, wanted: Collection[str]
) -> tuple[dict[Remark, int], set[str]]:
    """Write a mask as a trimap; what does not decode is copied. Raises `InputError` for a lossy mask.

    Foreground is what has one of the `wanted` values or colours (`#rrggbb`), if there are any: the mask's are
    returned. Otherwise it is what reaches the `threshold`, with None anything but 0.
    """
    content = _read(mask)
    if content is None:
        shutil.copyfile(mask, destination)
        return {}, set()
    values, palette = content
    codes = values
    if values.ndim == 3:  # red is the first byte of a colour's code, green the second
        codes = np.pad(values, ((0, 0), (0, 0), (0, 4 - values.shape[-1]))).view("<u4")[..., 0]
    present = np.unique(codes)
    if not wanted:
        values = values.max(axis=-1) if values.ndim == 3 else values
        trimap = mask_to_trimap(values, threshold)
        faint = values.any() and not (trimap == layout.PET).any()
        applies = {Remark.SHADED: len(present) > 2, Remark.INDEXED: len(palette) > 0, Remark.FAINT: faint}
        Image.fromarray(trimap).save(destination, "PNG")
        return {remark: True for remark, holds in applies.items() if holds}, set()
    if len(present) > MAX_COLORS:
        problem = f"has {len(present):,} colours or values, as photos have"
        raise InputError(f"{mask}: {problem}; data.folder.classes needs masks of the classes alone")
    if codes is values:
        colors, as_color = palette.tolist(), any(name.startswith("#") for name in wanted)
        names = {code: _of_value(code, colors, as_color) for code in present.tolist()}
    else:
        names = {code: _of_color(*code.to_bytes(4, "little")[:3]) for code in present.tolist()}
    chosen = [code for code, own in names.items() if not own.isdisjoint(wanted)]
    Image.fromarray(mask_to_trimap(np.isin(codes, chosen), None)).save(destination, "PNG")
    return {}, set().union(*names.values())


def _of_color(red: int, green: int, blue: int) -> set[str]:
    """Return what a colour is called: a grey one, its value too."""
    color = f"#{red:02x}{green:02x}{blue:02x}"
    return {color, str(red)} if red == green == blue else {color}


def _of_value(value: float, colors: list[list[int]], as_color: bool) -> set[str]:
    """Return what a value is called: by its number, and by its colour in a palette, or `as_color` a grey."""
    if 0 <= value < len(colors):
        return {str(value), "#{:02x}{:02x}{:02x}".format(*colors[int(value)])}
    if as_color and 0 <= value <= 255 and value == int(value):
        return _of_color(*[int(value)] * 3)
    return {f"{value:.10g}"}


def _read(mask: Path) -> tuple[NDArray[np.generic], NDArray[np.uint8]] | None:
    """Return the values `(H, W)` or `(H, W, C)` of a mask, and its palette `(N, 3)` if that is coloured.

    None if it does not decode.
    """
    try:
        with image_io.opened(mask, "a mask") as opened:
            channels = opened.getbands()
            lossless = opened.format in LOSSLESS and opened.info.get("compression") != "jpeg"
            palette = np.array(opened.getpalette() or [], np.uint8).reshape(-1, 3)
            values = np.asarray(opened.convert("L") if opened.mode == "1" else opened)
    except InputError:
        return None
    if not lossless:
        problem = "masks must be lossless, or compression noise counts as foreground"
        raise InputError(f"{mask}: {problem}; save them as PNG")
    if values.ndim == 3:  # (H, W, C); alpha is not part of the mask
        values = values[..., [channel != "A" for channel in channels]]
        values = values[..., 0] if values.shape[-1] == 1 else values
    if not np.isfinite(values).all():
        raise InputError(f"{mask}: holds NaN or infinity; a mask holds numbers, and 0 is background")
    grey = bool((palette == palette[:, :1]).all())
    if grey and palette.any():  # black and white in any order: the colours are what a person sees
        values = np.pad(palette[:, 0], (0, 256 - len(palette)))[values]
    return values, palette[: 0 if grey else None]


def mask_to_trimap(values: NDArray[np.generic], threshold: float | None) -> NDArray[np.uint8]:
    """Turn the values `(H, W)` of a mask into a trimap `(H, W)`: 1 foreground, 2 background."""
    foreground = values != 0 if threshold is None else values >= threshold  # type: ignore[operator]
    return np.where(foreground, layout.PET, layout.BACKGROUND).astype(np.uint8)


def write_annotated(
    image: Path,
    annotated: AnnotatedImage,
    destination: Path,
    trimap: Path,
    rules: Folder,
    classes: Collection[str],
) -> dict[Remark, int]:
    """Write an image as `write_image` does, and its shapes as a trimap of the size in the annotations.

    Without such a size, an image that EXIF turns is `UNDECIDED`. Raises `InputError` where the image has the
    size neither as it is stored nor upright, and for shapes that cannot be used.
    """
    try:
        with image_io.opened(image, "an image") as opened:
            stored, upright, tag = sizes(opened)
    except InputError:  # of what cannot be read, the annotations may say any size
        return write_image(image, destination, annotated.size, rules)
    if annotated.size is None and stored != upright and rules.orientation is None:
        return {Remark.UNDECIDED: tag}
    fitting = {"stored": (stored,), "upright": (upright,), None: (stored, upright)}[rules.orientation]
    size = annotated.size or fitting[0]
    if size not in fitting:
        own = " or ".join(f"{width}x{height}" for width, height in dict.fromkeys(fitting))
        remedy = "export the images that were annotated, or set data.folder.orientation to null"
        raise InputError(f"{image}: has {own} pixels, {annotated.file} says {size[0]}x{size[1]}; {remedy}")
    remarks = write_image(image, destination, size, rules)
    chosen = [shape for shape in annotated.shapes if not classes or shape.label in classes]
    Image.fromarray(mask_to_trimap(rasterize(chosen, size), None)).save(trimap, "PNG")
    return remarks
