"""`Geometry` in operations that ONNX has: to the network and back.

The resize to the network's size is that of OpenCV. In its bilinear one OpenCV computes with integers: weights
in 1/2048, and sums that lose their last bits. An exact bilinear resize differs from it by a grey level in one
pixel of eight, which moves the edges of masks; this one does not. See `resizeGeneric_`, `HResizeLinear` and
`VResizeLinear` in OpenCV's `modules/imgproc/src/resize.cpp`.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from segmentation.common.geometry import Geometry

WEIGHT_OF_ONE = 2048  # OpenCV's weights are whole numbers, in 1/2048


class Axis(NamedTuple):
    """One axis of an image, which is resized from `length` to `size` pixels.

    `seen` `(P,)` are the pixels of the resized image that a network sees, None: all. Where `inside` `(P,)` is
    False, it sees the filling; there are `before` pixels of it first. Sizes that depend on the image are
    symbols or tensors.
    """

    length: Any
    size: Any
    seen: Tensor | None = None
    inside: Tensor = torch.tensor(True)
    before: Tensor = torch.tensor(0)

    def pixels(self, dtype: torch.dtype | None = None) -> Tensor:
        """Return `seen`, always as a tensor."""
        return torch.arange(self.size, dtype=dtype) if self.seen is None else self.seen


def to_network(images: Tensor, geometry: Geometry) -> Tensor:
    """Map uint8 images `(N, H, W, C)` to what a network sees of them, `(N, size, size, C)`, in `stretch`."""
    if geometry.resize == "area":
        sides = [torch.sym_min(side, geometry.size) for side in images.shape[1:3]]
        images = _area(images, *map(Axis, images.shape[1:3], sides))
    rows, columns = (Axis(length, geometry.size) for length in images.shape[1:3])
    return _linear(images, rows, columns)


def axes_of(images: Tensor, geometry: Geometry, scale: Tensor, multiple: int) -> list[Axis]:
    """Return the rows and columns of images `(N, H, W, C)` in `pad` and `tiles`, as `Geometry` has them.

    `scale` `()`, float64, is that of `tiles`. There, a network sees the whole image, filled up to at least a
    window; its last row and column are repeated up to a `multiple` of pixels.
    """
    sides = [torch.scalar_tensor(side, dtype=torch.float64) for side in images.shape[1:3]]
    window = torch.full_like(scale, geometry.size)  # a number would be multiplied by the reciprocal
    factor = scale if geometry.fit == "tiles" else window / torch.maximum(*sides)
    axes = []
    for length, side in zip(images.shape[1:3], sides, strict=True):
        size = (side * factor).round().clamp(min=1).long()
        before = _shifted((geometry.size - size).clamp(min=0) + 1, 1)
        filled, count = size.clamp(min=geometry.size), geometry.size
        if geometry.fit == "tiles":
            blocks: Any = torch.div(filled + (multiple - 1), multiple, rounding_mode="trunc").item()
            torch._check(blocks >= 1)
            count = blocks * multiple
        seen = torch.arange(count).minimum(filled - 1) - before
        axes.append(Axis(length, size, _clamped(seen, size), (seen >= 0) & (seen < size), before))
    return axes


def filled_to_network(images: Tensor, rows: Axis, columns: Axis, geometry: Geometry) -> Tensor:
    """Map uint8 images `(N, H, W, 3)` to what a network sees of them, with the filling."""
    if geometry.resize == "linear" or (geometry.fit == "tiles" and geometry.scale >= 1):
        pixels = _linear(images, rows, columns)
    elif geometry.fit == "tiles":
        pixels = _area(images, rows, columns)
    else:
        shrinks = (rows.size < rows.length) | (columns.size < columns.length)
        pixels = torch.where(shrinks, _area(images, rows, columns), _linear(images, rows, columns))
    inside = (rows.inside[:, None] & columns.inside)[..., None]
    return torch.where(inside, pixels, torch.tensor(geometry.fill, dtype=pixels.dtype))


def to_image(maps: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """Map probabilities `(N, rows, columns)` of what a network sees to `(N, H, W)`: `Geometry.to_image`."""
    for dim, axis in ((2, columns), (1, rows)):
        first, share = _position(Axis(axis.size, axis.length))
        lower, upper = (
            maps.index_select(dim, _clamped(index.long(), axis.size) + axis.before)
            for index in (first, first + 1)
        )
        maps = torch.lerp(lower, upper, share if dim == 2 else share[:, None])
    return maps


def _linear(images: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """Resize uint8 images `(N, H, W, C)`, to int32, as `cv2.resize` with `INTER_LINEAR`."""
    (row_indices, row_weights), beside = _neighbors(rows, False), _neighbors(columns, True)
    upper, lower = (
        weight[:, None, None] * _shifted(_weighted_columns(images[:, row], *beside), 4)
        for row, weight in zip(row_indices, row_weights, strict=True)
    )
    return _shifted(_shifted(upper, 16) + _shifted(lower, 16) + 2, 2)


def _neighbors(axis: Axis, clamp_weights: bool) -> tuple[list[Tensor], list[Tensor]]:
    """Return, for each pixel `(P,)`, the two of the image beside it, and their weights.

    Both are two tensors `(P,)`, the weights int32. OpenCV clamps the weights at the borders in x alone.
    """
    first, share = _position(axis)
    if clamp_weights:
        share = torch.where((first < 0) | (first >= axis.length - 1), 0.0, share)
    indices, weights = (first, first + 1), (1 - share, share)
    return (
        [index.long().clamp(0, axis.length - 1) for index in indices],
        [(weight * WEIGHT_OF_ONE).round().int() for weight in weights],
    )


def _position(axis: Axis) -> tuple[Tensor, Tensor]:
    """Return the pixel of the image before each pixel `(P,)`, and how far on to the next one, float32."""
    position = ((axis.pixels(torch.float64) + 0.5) * axis.length / axis.size - 0.5).float()
    first = position.floor()
    return first, position - first


def _weighted_columns(rows: Tensor, columns: list[Tensor], weights: list[Tensor]) -> Tensor:
    left, right = (rows[:, :, column].int() for column in columns)
    return left * weights[0][:, None] + right * weights[1][:, None]


def _clamped(pixels: Tensor, size: Tensor) -> Tensor:
    return pixels.clamp(min=0).minimum(size - 1)


def _shifted(numbers: Tensor, bits: int) -> Tensor:
    """Shift whole numbers ≥ 0 to the right: ONNX has no shift for signed ones."""
    return torch.div(numbers, 1 << bits, rounding_mode="trunc")


def _area(images: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """Shrink images `(N, H, W, C)`, as `cv2.resize` with `INTER_AREA`.

    In whole numbers, so that any library gives the same: below 2^24, which float32 holds, for images of up to
    65,793 rows, then below 2^53.
    """
    count, height, width, channels = images.shape
    result = rows.size if rows.seen is None else rows.seen.shape[0]
    upright = _overlaps(rows) @ images.float().reshape(count, height, width * channels)
    sums = _overlaps(columns).double() @ upright.double().reshape(count, result, width, channels)
    # OpenCV rounds halves to even, but up where both factors are 2.
    twice = _is_twice(rows) * _is_twice(columns)
    return (sums / (height * width) + twice / 8).round()


def _is_twice(axis: Axis) -> Tensor:
    twice = axis.length == 2 * axis.size
    return twice if isinstance(twice, Tensor) else torch.scalar_tensor(twice)


def _overlaps(axis: Axis) -> Tensor:
    """Return how much of each of `length` pixels is in each of those that they become, `(P, length)`.

    In 1/size of a pixel: whole numbers, whose sum over a row is `length`.
    """
    pixel, result = torch.arange(axis.length), axis.pixels()[:, None]
    end = torch.minimum((result + 1) * axis.length, (pixel + 1) * axis.size)
    return (end - torch.maximum(result * axis.length, pixel * axis.size)).clamp(min=0).float()
