"""`Geometry.to_network` in operations that ONNX has: OpenCV's resizes of uint8 images.

In its bilinear one OpenCV computes with integers: weights in 1/2048, and sums that lose their last bits. An
exact bilinear resize differs from it by a grey level in one pixel of eight, which moves the edges of masks;
this one does not.
See `resizeGeneric_`, `HResizeLinear` and `VResizeLinear` in OpenCV's `modules/imgproc/src/resize.cpp`.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from segmentation.geometry import Geometry

ONE = 2048  # the weight 1


class Axis(NamedTuple):
    """For each of S pixels of the result, the two pixels that it lies between, and their weights."""

    first: Tensor  # (S,)
    second: Tensor
    weight_first: Tensor  # (S,), int32, in 1/ONE
    weight_second: Tensor


def to_network(images: Tensor, geometry: Geometry) -> Tensor:
    """Map uint8 images `(N, H, W, C)` to what a network sees of them, `(N, size, size, C)`, int32."""
    if geometry.resize == "area":
        images = _area(images, *(torch.sym_min(side, geometry.size) for side in images.shape[1:3]))
    return resize(images, geometry.size)


def resize(images: Tensor, size: int) -> Tensor:
    """Map uint8 images `(N, H, W, C)` to `(N, size, size, C)`, int32, as `cv2.resize` with `INTER_LINEAR`."""
    height, width = images.shape[1:3]
    y, x = _axis(height, size, clamp_weights=False), _axis(width, size, clamp_weights=True)
    upper, lower = (
        weight[:, None, None] * _shifted(_columns(images[:, rows], x), 4)
        for rows, weight in ((y.first, y.weight_first), (y.second, y.weight_second))
    )
    return _shifted(_shifted(upper, 16) + _shifted(lower, 16) + 2, 2)


def _area(images: Tensor, height: int, width: int) -> Tensor:
    """Shrink images `(N, H, W, C)` to `(N, height, width, C)`, as `cv2.resize` with `INTER_AREA`."""
    count, rows, columns, channels = images.shape
    upright = _shares(rows, height) @ images.float().reshape(count, rows, columns * channels)
    return (_shares(columns, width) @ upright.reshape(count, height, columns, channels)).round()


def _shares(length: int, size: int) -> Tensor:
    """Return the share of each of `length` pixels in the `size` that they become: `(size, length)`."""
    first, step = torch.arange(length, dtype=torch.float64), length / size
    start = torch.arange(size, dtype=torch.float64)[:, None] * step
    overlap = torch.minimum(start + step, first + 1) - torch.maximum(start, first)
    return (overlap.clamp(min=0) / step).float()


def _columns(rows: Tensor, x: Axis) -> Tensor:
    first, second = (rows[:, :, columns].int() for columns in (x.first, x.second))
    return first * x.weight_first[:, None] + second * x.weight_second[:, None]


def _axis(length: int, size: int, clamp_weights: bool) -> Axis:
    """Return how `length` pixels become `size`; OpenCV clamps the weights at the borders in x alone."""
    position = ((torch.arange(size, dtype=torch.float64) + 0.5) * length / size - 0.5).float()
    first = position.floor()
    share = position - first
    if clamp_weights:
        share = torch.where((first < 0) | (first >= length - 1), 0.0, share)
    indices = (each.long().clamp(0, length - 1) for each in (first, first + 1))
    weights = ((each * ONE).round().int() for each in (1 - share, share))
    return Axis(*indices, *weights)


def _shifted(numbers: Tensor, bits: int) -> Tensor:
    """Shift whole numbers ≥ 0 to the right: ONNX has no shift for signed ones."""
    return torch.div(numbers, 1 << bits, rounding_mode="trunc")
