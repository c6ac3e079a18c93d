"""What the readers of annotations return, the shapes of each image in its pixels; and filling these."""

import re
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pycocotools.mask as coco_mask
from numpy.typing import NDArray

from segmentation.common.errors import InputError

Points = NDArray[np.float64]  # (N, 2): x and y, from the upper left corner of the image

SQUARE = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2
ANGLES = np.linspace(0, 2 * np.pi, 128, endpoint=False)  # such a polygon lacks 0.04 % of a circle
CIRCLE = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1) / 2


class Runs(NamedTuple):
    """A run-length encoding (RLE): the lengths of runs, of which the first is background."""

    counts: NDArray[np.int64] | Points
    left: int  # where in the image its window is, and how large
    top: int
    width: int
    height: int
    by_column: bool


class Shape(NamedTuple):
    """A labelled area: polygons, all together, or runs."""

    label: str
    where: str  # it stands, for errors
    area: list[Points] | Runs


class AnnotatedImage(NamedTuple):
    """An image as an export names it, with its width and height if the export says them."""

    name: str
    size: tuple[int, int] | None
    shapes: list[Shape]
    file: Path  # that names it
    subset: str = ""  # a folder in which it may be
    keypoints: bool = False  # whether its shapes only go with these


class Reading(NamedTuple):
    """What a file of annotations holds: its images, its classes, and how many of what was skipped."""

    images: list[AnnotatedImage]
    classes: list[str]
    skipped: Counter[str]


def polygon(values: object, where: str) -> Points:
    """Return the corners `[x, y, x, y, …]` or `[[x, y], …]` of a polygon.

    Raises `InputError` for anything else, for fewer than three points, and for NaN.
    """
    points = numbers(values, where)
    if points.ndim == 1 and points.size % 2 == 0:
        points = points.reshape(-1, 2)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
        raise InputError(f"{where}: not three or more pairs of x and y; delete it, or draw it again")
    return points


def placed(outline: Points, center: Points, size: Points | float, degrees: float = 0) -> Points:
    """Return `SQUARE` or `CIRCLE` of `size` (width, height) around `center`, turned clockwise."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return outline * size @ np.array([[cos, sin], [-sin, cos]]) + center


def numbers(values: object, where: str) -> Points:
    """Return finite numbers as an array; raises `InputError` for anything else."""
    with suppress(TypeError, ValueError, OverflowError):
        array = np.asarray(values, np.float64)
        if np.isfinite(array).all():
            return array
    raise InputError(f"{where}: holds what is no finite number; delete it, or draw it again")


def image_size(width: object, height: object, where: str) -> tuple[int, int] | None:
    """Return width and height of an image, None if neither is said.

    Raises `InputError` unless they are whole numbers from 1.
    """
    if width is None and height is None:
        return None
    texts = str(width), str(height)
    if not all(re.fullmatch(r"[1-9]\d{0,9}(\.0*)?", text, re.ASCII) for text in texts):
        raise InputError(f"{where}: width {width!r} and height {height!r} are no size in pixels")
    return int(float(texts[0])), int(float(texts[1]))


def rasterize(shapes: Iterable[Shape], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return where in an image of `size` (width, height) at least one shape is, `(H, W)`, as COCO's tools do.

    Within a part, what is surrounded twice is a hole. Raises `InputError` for points that are further outside
    than the image is wide or high, and for runs that do not fit the image.
    """
    width, height = size
    mask = np.zeros((height, width), bool, order="F")
    parts = []
    for shape in shapes:
        if isinstance(shape.area, Runs):
            _paint(mask, shape.area, shape.where)
            continue
        for part in shape.area:
            low, high = part.min(axis=0), part.max(axis=0)
            inside = -width <= low[0] and -height <= low[1] and high[0] <= 2 * width and high[1] <= 2 * height
            if not inside:  # or NaN
                problem = f"reaches from {low} to {high}, far outside of its image of {width}x{height} pixels"
                raise InputError(f"{shape.where}: {problem}; delete it, or draw it again")
            parts.append(part.ravel().tolist())
    if parts:
        filled = coco_mask.merge(coco_mask.frPyObjects(parts, height, width))
        mask |= coco_mask.decode(filled).view(bool)
    return mask


def _paint(mask: NDArray[np.bool_], runs: Runs, where: str) -> None:
    counts, left, top, width, height, by_column = runs
    rows, columns = mask.shape
    whole_image = not by_column or (width, height) == (columns, rows)
    if min(left, top, width, height) < 0 or left + width > columns or top + height > rows or not whole_image:
        problem = f"its RLE is of {width}x{height} pixels, its image of {columns}x{rows}"
        raise InputError(f"{where}: {problem}; export it again")
    area = width * height
    in_range = counts.min(initial=0) >= 0 and counts.max(initial=0) <= area
    if not in_range or (counts % 1).any() or counts.sum() != area:
        problem = f"do not add up to {width}x{height} pixels, or are not whole numbers from 0"
        raise InputError(f"{where}: the counts of its RLE {problem}; export it again")
    values = np.repeat(np.arange(len(counts)) % 2 == 1, counts.astype(np.int64))
    window = values.reshape((height, width), order="F" if by_column else "C")
    mask[top : top + height, left : left + width] |= window
