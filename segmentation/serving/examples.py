"""A few test images with their true masks, to try the networks on."""

import io
from collections.abc import Sequence
from typing import Literal

import numpy as np
from PIL import Image

from segmentation.common.artifacts import RAW, SPLIT, Split
from segmentation.common.dataset_layout import image_path, trimap_path
from segmentation.common.files import read_json
from segmentation.common.image_io import foreground_mask, read_image, read_trimap

EXAMPLES = 6
THUMBNAIL = 160  # pixels at the longer side

View = Literal["thumbnail", "image", "mask"]  # what is shown of an example


def choose_examples() -> list[str]:
    """Return the ids of some images of the test part, evenly spaced; none where there is no dataset."""
    if not (RAW.is_dir() and SPLIT.is_file()):
        return []
    ids = read_json(SPLIT, "split", Split)["test"]
    count = min(EXAMPLES, len(ids))
    return [ids[number * len(ids) // count] for number in range(count)]


def example_png(image_id: str, view: View, foreground: Sequence[str]) -> bytes:
    """Return an image as evaluation reads it, smaller, or its mask (255 where there is foreground), as PNG.

    Raises `InputError` if it cannot be read.
    """
    if view == "mask":
        pixels = foreground_mask(read_trimap(trimap_path(RAW, image_id)), foreground) * np.uint8(255)
    else:
        pixels = read_image(image_path(RAW, image_id))
    image = Image.fromarray(pixels)
    if view == "thumbnail":
        image.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
