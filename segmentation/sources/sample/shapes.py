"""The shapes that the sample images' animals and things are made of.

A figure is a list of parts, painted in order. Local coordinates: x to the right, y down, the ground
at y = 0, a figure about one unit long or tall. Nothing here knows pixels or colours.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
XY = tuple[float, float]


class Part(NamedTuple):
    """The union of P convex polygons of V vertices each, and how its surface looks."""

    polygons: Points  # (P, V, 2)
    surface: str  # a key of the surfaces that the figure is painted with
    shade: float = 1.0  # brightness; below 1 for what is turned away or behind
    relief: float = 1.0  # 0 is flat like an eye, 1 rounded like a body
    fluff: float = 0.0  # raggedness of the outline; 1 is long fur


@cache
def _circle(vertices: int) -> Points:
    turn = np.arange(vertices) * (2 * np.pi / vertices)
    return np.stack([np.cos(turn), np.sin(turn)], axis=1)


def ellipse(x: float, y: float, rx: float, ry: float, angle: float = 0.0, power: float = 2.0) -> Points:
    """Return a (super)ellipse as (1, 40, 2); `angle` in radians, `power` > 2 is squarer."""
    cos, sin = _circle(40).T
    across = rx * np.sign(cos) * np.abs(cos) ** (2 / power)
    down = ry * np.sign(sin) * np.abs(sin) ** (2 / power)
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([x + c * across - s * down, y + s * across + c * down], axis=1)[None]


def tube(path: Sequence[XY], radii: Sequence[float]) -> Points:
    """Return the discs along the Bezier curve of `path` as (28, 16, 2); `radii` spread evenly along it."""
    t = np.arange(28)[:, None] / 27
    points = np.broadcast_to(np.array(path, dtype=np.float64)[:, None], (len(path), 28, 2))
    while len(points) > 1:
        points = points[:-1] * (1 - t) + points[1:] * t
    radius = np.interp(t[:, 0], np.linspace(0, 1, len(radii)), radii)
    return points[0][:, None] + radius[:, None, None] * _circle(16)


def polygon(*points: XY) -> Points:
    """Return one convex polygon as (1, V, 2)."""
    return np.array([points], dtype=np.float64)


def moved(parts: list[Part], x: float, y: float, scale: float = 1.0, angle: float = 0.0) -> list[Part]:
    """Return the parts scaled and turned (radians) about the origin, then moved by (x, y)."""
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[c, s], [-s, c]])
    return [part._replace(polygons=part.polygons @ matrix + (x, y)) for part in parts]
