"""What the readers of annotations return: the shapes of each image, in pixels of that image."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segmentation.common.errors import InputError

Points = NDArray[np.float64]  # (N, 2): x and y, from the upper left corner of the image

CORNERS = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2
ANGLES = np.linspace(0, 2 * np.pi, 128, endpoint=False)  # such a polygon lacks 0.04 % of a circle
CIRCLE = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1) / 2


class Runs(NamedTuple):
    """A run-length encoding (RLE): the lengths of runs, of which the first is background."""

    counts: NDArray[np.int64]
    left: int  # where in the image its window is, and how large
    top: int
    width: int
    height: int
    by_column: bool


class Shape(NamedTuple):
    """A labelled area: all parts together, or runs."""

    label: str
    where: str  # it stands, for errors
    parts: list[Points]
    runs: Runs | None = None


class AnnotatedImage(NamedTuple):
    """An image as an export names it, with its width and height if the export says them."""

    name: str
    size: tuple[int, int] | None
    shapes: list[Shape]
    file: Path  # that names it


class Reading(NamedTuple):
    """What a file of annotations holds: its images, its classes, and how many of what was skipped."""

    images: list[AnnotatedImage]
    classes: list[str]
    skipped: Counter[str]


def polygon(values: object, where: str) -> Points:
    """Return the corners `[x, y, x, y, …]` or `[[x, y], …]` of a polygon.

    Raises `InputError` for fewer than three points, and for what is no number, such as NaN.
    """
    points = numbers(values, where)
    if points.ndim == 1 and points.size % 2 == 0:
        points = points.reshape(-1, 2)
    if points.ndim != 2 or points.shape[1] != 2:
        raise InputError(f"{where}: its points are no pairs of x and y; delete it, or draw it again")
    if len(points) < 3:
        raise InputError(f"{where}: a polygon with {len(points)} points; delete it, or draw it again")
    return points


def rectangle(center: Points, size: Points, degrees: float = 0) -> Points:
    """Return the corners of a rectangle of `size` (width, height), turned clockwise around its centre."""
    return _turned(CORNERS * size, degrees) + center


def ellipse(center: Points, size: Points, degrees: float = 0) -> Points:
    """Return a polygon around an ellipse of `size` (width, height), turned clockwise."""
    return _turned(CIRCLE * size, degrees) + center


def _turned(points: Points, degrees: float) -> Points:
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return points @ np.array([[cos, sin], [-sin, cos]])


def numbers(values: object, where: str) -> Points:
    """Return finite numbers as an array; raises `InputError` for anything else."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where}: its points are no numbers; delete it, or draw it again") from None
    if not np.isfinite(array).all():
        raise InputError(f"{where}: holds NaN or infinity; delete it, or draw it again")
    return array


def image_size(width: object, height: object, where: str) -> tuple[int, int]:
    """Return width and height of an image; raises `InputError` unless they are whole numbers from 1."""
    size = []
    for value in (width, height):
        text = str(value)
        number = int(float(text)) if text.replace(".", "", 1).isdecimal() and len(text) < 12 else 0
        if number < 1 or number != float(text):
            raise InputError(f"{where}: width {width!r} and height {height!r} are no size in pixels")
        size.append(number)
    return size[0], size[1]
