"""Between an image of any size and the input of a network: the one place that resizes and normalises."""

from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from segmentation.common.artifacts import Stats

cv2.setNumThreads(0)  # the loader's workers are the parallelism; OpenCV's threads would compete with them

Image = NDArray[np.uint8]  # (H, W, 3), RGB
Mask = NDArray[np.uint8]  # (H, W), 0 or 1


class Normalization(NamedTuple):
    """Mean and standard deviation per channel, red, green, blue, in [0, 1]."""

    mean: list[float]
    std: list[float]


LAB_REPORT = Normalization([0.481, 0.449, 0.396], [0.269, 0.265, 0.273])  # the lab report's measurement
IMAGENET = Normalization([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])  # torchvision.models, "Transforms"
NONE = Normalization([0.0, 0.0, 0.0], [1.0, 1.0, 1.0])


def choose_normalization(normalize: str, own: Stats) -> Normalization:
    """Return the normalisation that `image.normalize` names; `own` are the statistics of this dataset."""
    std = [each or 1.0 for each in own["std"]]  # 0: the channel is constant, as in fluorescence microscopy
    return {
        "own": Normalization(own["mean"], std),
        "lab_report": LAB_REPORT,
        "imagenet": IMAGENET,
        "none": NONE,
    }[normalize]


def normalize(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Map uint8 images `(N, 3, H, W)` to float32; `mean` and `std` have the shape `(1, 3, 1, 1)`."""
    return (images.float() / 255 - mean) / std


def resize_image(image: Image, size: int) -> Image:
    """Squash an image to a square of `size` pixels: bilinear without antialiasing, as in the lab report."""
    resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
    return resized.astype(np.uint8, copy=False)


def resize_mask(mask: Mask, size: int) -> Mask:
    """Squash a mask to a square of `size` pixels as its image: foreground is what is at least half covered.

    The lab report takes OpenCV's nearest pixel, which counts from pixel corners where bilinear counts from
    centres: its masks lie half a pixel off their images.
    """
    covered = cv2.resize(mask.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    return (covered >= 0.5).astype(np.uint8)


def resize_probabilities(probabilities: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Resize probabilities `(h, w)` to `(height, width)`: bilinear, pixel centres in place."""
    resized = cv2.resize(probabilities, (width, height), interpolation=cv2.INTER_LINEAR)
    return resized.astype(np.float32, copy=False)


def halve(pixels: Tensor) -> Tensor:
    """Return images or masks `(N, C, H, W)` at half their size, each pixel the mean of four, as float32."""
    return F.avg_pool2d(pixels.float(), 2)


def to_tensor(image: Image) -> Tensor:
    """Return an image `(H, W, 3)` as a tensor `(3, H, W)`, uint8."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
