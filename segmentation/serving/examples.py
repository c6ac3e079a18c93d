"""A few test images with their true masks, to try the networks on."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from PIL import Image

from segmentation.common.artifacts import RAW, SPLIT, STATS, Split, Stats
from segmentation.common.dataset_layout import LIST, image_path, trimap_path
from segmentation.common.files import read_json
from segmentation.common.image_io import foreground_mask, read_image, read_trimap
from segmentation.evaluation.overlays import encoded
from segmentation.loading.transforms import choose_normalization
from segmentation.models.checkpoints import Metadata
from segmentation.sources.sample.generator import LIST_HEAD

EXAMPLES = 6
THUMBNAIL = 160  # pixels at the longer side

View = Literal["thumbnail", "image", "mask"]  # what is shown of an example


def trained_here(meta: Metadata) -> bool:
    """Whether a network was trained on the dataset that is here, by the mean and std that it normalises with.

    They are those of the dataset only where `image.normalize` is `own`; of others it is not known.
    """
    if not all(path.is_file() for path in (RAW / LIST, SPLIT, STATS)):
        return False
    return choose_normalization("own", read_json(STATS, "compute_stats", Stats)) == (meta.mean, meta.std)


def trained_on_sample(meta: Metadata) -> bool:
    """Whether a network was trained on the sample data, as far as that is known."""
    return trained_here(meta) and (RAW / LIST).read_bytes().startswith(LIST_HEAD.encode())


def choose_examples(networks: Sequence[Metadata]) -> list[str]:
    """Return the ids of some images of the test part, evenly spaced.

    None unless all networks were trained on this dataset, to find what the true masks show.
    """
    if len({tuple(meta.foreground) for meta in networks}) > 1 or not all(map(trained_here, networks)):
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
    return encoded(image, "PNG")
