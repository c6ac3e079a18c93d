"""A small folder as a person brings it, and what becomes of it."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps
from projects import DEFAULTS

from segmentation.common import dataset_layout as layout
from segmentation.common.image_io import read_image
from segmentation.sources.folder import write_folder

SIZES = [(60, 40), (40, 60), (48, 48), (64, 32), (32, 64)]


def cells(size: tuple[int, int], seed: int) -> tuple[Image.Image, Image.Image]:
    """A grey image of bright cells on a dark ground, and its mask of 0 and 255."""
    rng = np.random.default_rng(seed)
    mask = Image.new("L", size)
    for _ in range(4):
        x, y, radius = (int(rng.integers(low, high)) for low, high in ((0, size[0]), (0, size[1]), (3, 8)))
        ImageDraw.Draw(mask).ellipse((x - radius, y - radius, x + radius, y + radius), 255)
    mask.putpixel((0, 0), 0)
    noise = rng.integers(0, 60, size[::-1])
    return Image.fromarray((np.asarray(mask) * 0.6 + noise).astype(np.uint8)), mask


def own_folder(own: Path) -> Path:
    """Make a folder of ten grey images of mixed sizes with masks of 0 and 255, and no lists."""
    for name in ("images", "masks"):
        (own / name).mkdir(parents=True)
    for number in range(10):
        image, mask = cells(SIZES[number % 5], number)
        image.save(own / f"images/{number}.png")
        mask.save(own / f"masks/{number}.png")
    return own


def written(own: Path, **rules: Any) -> tuple[Path, str]:
    """Bring a folder into the layout; return where it is, and what was said about it."""
    raw = own.parent / f"raw{len(list(own.parent.iterdir()))}"
    raw.mkdir()
    said, _ = write_folder(raw, own, DEFAULTS.data.folder.model_copy(update=rules))
    return raw, "\n".join(said)


def photo(raw: Path, name: str) -> NDArray[np.uint8]:
    return read_image(layout.image_path(raw, name))


def turn(own: Path, name: str, tag: int) -> Image.Image:
    """Store an image as a camera does that was held in another way; return it upright."""
    path = own / f"images/{name}.png"
    upright = Image.open(path).copy()
    exif = Image.Exif()
    exif[0x0112] = {6: 8, 8: 6}.get(tag, tag)  # the turn that undoes the tag's
    upright.save(path, exif=exif)
    stored = ImageOps.exif_transpose(Image.open(path))
    exif[0x0112] = tag
    stored.save(path, exif=exif)
    return upright


def change_masks(own: Path, change: object) -> None:
    """Replace each mask by what `change` makes of its values."""
    for path in (own / "masks").iterdir():
        mask = change(np.asarray(Image.open(path)))  # type: ignore[operator]
        (mask if isinstance(mask, Image.Image) else Image.fromarray(mask)).save(path)
