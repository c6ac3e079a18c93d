"""Filling shapes as COCO's own tools do."""

from collections.abc import Iterable

import numpy as np
import pycocotools.mask as coco_mask
from numpy.typing import NDArray

from segmentation.common.errors import InputError
from segmentation.sources.annotations.shapes import Runs, Shape


def rasterize(shapes: Iterable[Shape], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return where in an image of `size` (width, height) at least one shape is, `(H, W)`.

    Within a part, what is surrounded twice is a hole. Raises `InputError` for points that are further outside
    than the image is wide or high, and for runs that do not fit the image.
    """
    width, height = size
    mask = np.zeros((height, width), bool, order="F")
    parts = []
    for shape in shapes:
        for part in shape.parts:
            low, high = part.min(axis=0), part.max(axis=0)
            inside = -width <= low[0] and -height <= low[1] and high[0] <= 2 * width and high[1] <= 2 * height
            if not inside:  # or NaN
                raise InputError(
                    f"{shape.where}: reaches from {low} to {high}, far outside of its image of"
                    f" {width}x{height} pixels; delete it, or draw it again"
                )
            parts.append(part.ravel().tolist())
        if shape.runs:
            _paint(mask, shape.runs, shape.where)
    if parts:
        filled = coco_mask.merge(coco_mask.frPyObjects(parts, height, width))
        mask |= coco_mask.decode(filled).view(bool)
    return mask


def _paint(mask: NDArray[np.bool_], runs: Runs, where: str) -> None:
    counts, left, top, width, height, by_column = runs
    rows, columns = mask.shape
    whole_image = not by_column or (width, height) == (columns, rows)
    if min(left, top, width, height) < 0 or left + width > columns or top + height > rows or not whole_image:
        raise InputError(
            f"{where}: its RLE is of {width}x{height} pixels, its image of {columns}x{rows}; export it again"
        )
    area = width * height
    if counts.min(initial=0) < 0 or counts.max(initial=0) > area or counts.sum() != area:
        raise InputError(
            f"{where}: the counts of its RLE do not add up to {width}x{height} pixels; export it again"
        )
    values = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    window = values.reshape((height, width), order="F" if by_column else "C")
    mask[top : top + height, left : left + width] |= window
