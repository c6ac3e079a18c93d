"""From an image at network size to the input of a network: normalising, and half the size."""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from segmentation.common.artifacts import Stats


class Normalization(NamedTuple):
    """Mean and standard deviation per channel, red, green, blue, in [0, 1]."""

    mean: list[float]
    std: list[float]


LAB_REPORT = Normalization([0.481, 0.449, 0.396], [0.269, 0.265, 0.273])  # the lab report's measurement
IMAGENET = Normalization([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])  # torchvision.models, "Transforms"
NONE = Normalization([0.0, 0.0, 0.0], [1.0, 1.0, 1.0])


def choose_normalization(normalize: str, own: Stats) -> Normalization:
    """Return the normalisation that `image.normalize` names; `own` are the statistics of this dataset."""
    std = [value or 1.0 for value in own["std"]]  # 0: the channel is constant, as in fluorescence microscopy
    fixed = {"lab_report": LAB_REPORT, "imagenet": IMAGENET, "none": NONE}
    return fixed.get(normalize, Normalization(own["mean"], std))


def normalize(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Map uint8 images `(N, 3, H, W)` to float32; `mean` and `std` have the shape `(1, 3, 1, 1)`."""
    return (images.float() / 255 - mean) / std


def halve(pixels: Tensor) -> Tensor:
    """Return images or masks `(N, C, H, W)` at half their size, each pixel the mean of four, as float32."""
    return F.avg_pool2d(pixels.float(), 2)
