"""Photos for the tests of prediction, and what is expected of them."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segmentation.inference.predictor import Predictor


def scene(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """A smooth colour image."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def save(path: Path, image: NDArray[np.uint8], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)
    return path


def png(height: int, width: int) -> bytes:
    """The file of a smooth colour image."""
    buffer = io.BytesIO()
    Image.fromarray(scene(height, width)).save(buffer, "PNG")
    return buffer.getvalue()


def pixels(path: Path) -> NDArray[Any]:
    with Image.open(path) as image:
        return np.asarray(image)


def three_photos(folder: Path) -> Path:
    """Write three photos of different sizes, one in a sub-folder; return their folder."""
    for number, size in enumerate([(60, 90), (90, 60), (33, 33)]):
        save(folder / f"photos/{'sub/' * (number == 2)}{number}.png", scene(*size, seed=number))
    return folder / "photos"


def predictor(finished: Path, name: str = "unet") -> Predictor:
    return Predictor.load(finished / f"checkpoints/{name}.pt")


def png_of_one_colour(height: int, width: int) -> bytes:
    """The small file of a large image."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (90, 60, 30)).save(buffer, "PNG")
    return buffer.getvalue()
