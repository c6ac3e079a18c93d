"""One mask of a person's folder, brought into `data/raw/` as a trimap."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segmentation.common import dataset_layout as layout
from segmentation.common import image_io
from segmentation.common.errors import InputError
from segmentation.sources.own_files import Remark, Rules, copy_broken

LOSSLESS = {"PNG", "TIFF", "BMP", "GIF", "PPM", "TGA"}  # formats, by content: noise would be foreground


def write_trimap(mask: Path, destination: Path, rules: Rules) -> dict[Remark, int]:
    """Write a mask as a trimap; what does not decode is copied. Raises `InputError` for a lossy mask."""
    try:
        values, palette = _read(mask)
    except InputError:
        raise
    except Exception as error:  # a broken file can fail in any of the formats' parsers
        return copy_broken(mask, destination, error)
    colors = values
    if values.ndim == 3:  # one number for each colour
        colors = values.astype(np.int64) @ (1 << 16 * np.arange(values.shape[-1]))
        values = values.max(axis=-1)
    trimap = mask_to_trimap(values, rules.mask_threshold)
    Image.fromarray(trimap).save(destination, "PNG")
    shaded, faint = len(np.unique(colors)) > 2, values.any() and not (trimap == layout.PET).any()
    applies = {Remark.SHADED: shaded, Remark.INDEXED: len(palette) > 0, Remark.FAINT: faint}
    return {remark: True for remark, holds in applies.items() if holds}


def write_classes(mask: Path, destination: Path, wanted: Collection[str]) -> set[str]:
    """Write a mask as a trimap: foreground is what has one of the `wanted` values or colours (`#rrggbb`).

    Returns the values and colours that the mask holds. What does not decode is copied. Raises `InputError`
    for a lossy mask.
    """
    try:
        values, palette = _read(mask)
    except InputError:
        raise
    except Exception as error:
        copy_broken(mask, destination, error)
        return set()
    if values.ndim == 3:
        values = values[..., :3].astype(np.int64) @ [65536, 256, 1]
        names = {code: _of_color(*code.to_bytes(3)) for code in np.unique(values).tolist()}
    else:
        colors, as_color = palette.tolist(), any(name.startswith("#") for name in wanted)
        names = {code: _of_value(code, colors, as_color) for code in np.unique(values).tolist()}
    chosen = [code for code, own in names.items() if not own.isdisjoint(wanted)]
    Image.fromarray(mask_to_trimap(np.isin(values, chosen), None)).save(destination, "PNG")
    return set().union(*names.values())


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


def _read(mask: Path) -> tuple[NDArray[np.generic], NDArray[np.uint8]]:
    """Return the values `(H, W)` or `(H, W, C)` of a mask, and its palette `(N, 3)` if that is coloured."""
    with mask.open("rb") as file, Image.open(file, formats=image_io.FORMATS) as opened:
        channels = opened.getbands()
        lossless = opened.format in LOSSLESS and opened.info.get("compression") != "jpeg"
        palette = np.array(opened.getpalette() or [], np.uint8).reshape(-1, 3)
        values = np.asarray(opened.convert("L") if opened.mode == "1" else opened)
    if not lossless:
        raise InputError(
            f"{mask}: masks must be lossless, or compression noise counts as foreground; save them as PNG"
        )
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
