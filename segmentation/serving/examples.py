"""A few test images with their true masks, to try the networks on."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from segmentation.common.artifacts import RAW, SPLIT, Split
from segmentation.common.dataset_layout import image_path, trimap_path
from segmentation.common.files import read_json
from segmentation.common.image_io import foreground_mask, read_image, read_trimap

COUNT = 6
THUMBNAIL = 160  # pixels at the longer side

Part = Literal["thumbnail", "image", "mask"]


def choose_examples() -> list[str]:
    """Return the ids of some images of the test part, evenly spaced; none where there is no dataset."""
    if not (RAW.is_dir() and SPLIT.is_file()):
        return []
    ids = read_json(SPLIT, "split", Split)["test"]
    return [ids[k * len(ids) // COUNT] for k in range(COUNT)] if len(ids) >= COUNT else ids


def example_png(image_id: str, part: Part, foreground: Sequence[str], raw: Path = RAW) -> bytes:
    """Return an image as evaluation reads it, smaller, or its mask (255 where there is foreground), as PNG.

    Raises `InputError` if it cannot be read.
    """
    if part == "mask":
        trimap = read_trimap(trimap_path(raw, image_id))
        picture = Image.fromarray(foreground_mask(trimap, foreground) * np.uint8(255))
    else:
        picture = Image.fromarray(read_image(image_path(raw, image_id)))
    if part == "thumbnail":
        picture.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
