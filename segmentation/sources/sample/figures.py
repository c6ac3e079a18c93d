"""The sample images' figures: cats, dogs, and the things around them.

A figure is a list of parts, painted in order. Coordinates: x to the right, y down, the ground at y = 0,
a figure about one unit tall; animals face +x, or the viewer. Things are made of the same shapes at the
same sizes as heads, bodies, legs and ears: what tells an animal is how its parts belong together.
"""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]


class Part(NamedTuple):
    """The union of P convex polygons of V vertices each, and how its surface looks."""

    polygons: Points  # (P, V, 2)
    surface: str  # a key of the surfaces that the figure is painted with
    shade: float  # brightness; below 1 for what is turned away or behind


class Breed(NamedTuple):
    """What the images of one breed have in common; everything else is drawn per image."""

    name: str
    species: int  # 1 cat, 2 dog
    ears: str  # "pointed" or "floppy"
    snout: float  # length of the muzzle, in head radii
    tail: float  # thickness, in units
    height: float  # factor of all heights
    fluff: float  # raggedness of the outline; 1 is long fur


BREEDS = (
    Breed("Amber_shorthair", 1, "pointed", 0.30, 0.085, 1.0, 0.35),
    Breed("Misty_longhair", 1, "pointed", 0.25, 0.13, 0.95, 1.0),
    Breed("brook_hound", 2, "floppy", 0.62, 0.08, 1.1, 0.3),
    Breed("heather_spaniel", 2, "floppy", 0.50, 0.115, 0.95, 0.9),
    Breed("thistle_terrier", 2, "pointed", 0.55, 0.095, 0.9, 0.7),
)
POSES = [  # tubes: surface, shade, the points that the curve follows, and radii; those of a tail are factors
    [  # standing
        ("tail", 1.0, [(-0.55, -0.65), (-0.85, -0.7), (-0.9, -0.9)], [1.0, 1.1, 0.7]),
        ("leg", 0.72, [(-0.42, -0.5), (-0.42, -0.04)], [0.14, 0.1, 0.08]),
        ("leg", 0.72, [(0.33, -0.5), (0.33, -0.04)], [0.14, 0.1, 0.08]),
        ("fur", 1.0, [(-0.48, -0.6), (0.0, -0.55), (0.4, -0.6)], [0.25, 0.24, 0.27]),
        ("leg", 0.95, [(-0.5, -0.5), (-0.5, -0.04)], [0.14, 0.1, 0.08]),
        ("leg", 0.95, [(0.42, -0.5), (0.42, -0.04)], [0.14, 0.1, 0.08]),
        ("fur", 1.0, [(0.42, -0.62), (0.66, -0.85)], [0.22, 0.17]),
        ("head", 1.0, [(0.68, -0.92)], [0.35]),
    ],
    [  # sitting, seen from the front
        ("tail", 0.85, [(0.2, -0.1), (0.7, 0.05), (0.5, -0.3)], [1.0]),
        ("fur", 1.0, [(0.0, -0.25), (0.0, -0.8)], [0.33, 0.29, 0.2]),
        ("leg", 0.92, [(-0.3, -0.2), (-0.32, -0.04)], [0.18, 0.1]),
        ("leg", 0.92, [(0.3, -0.2), (0.32, -0.04)], [0.18, 0.1]),
        ("leg", 1.0, [(-0.13, -0.45), (-0.12, -0.04)], [0.13, 0.1, 0.09]),
        ("leg", 1.0, [(0.13, -0.45), (0.12, -0.04)], [0.13, 0.1, 0.09]),
        ("head", 1.0, [(0.0, -1.0)], [0.35]),
    ],
    [  # sitting, seen from the side
        ("tail", 1.0, [(-0.42, -0.1), (-0.8, -0.1), (-0.8, -0.4)], [1.0, 1.1, 0.7]),
        ("leg", 0.74, [(0.2, -0.62), (0.32, -0.04)], [0.13, 0.1, 0.08]),
        ("fur", 1.0, [(-0.22, -0.25), (-0.15, -0.6), (0.18, -0.78)], [0.29, 0.27, 0.2]),
        ("leg", 1.0, [(0.17, -0.62), (0.22, -0.04)], [0.14, 0.1, 0.08]),
        ("leg", 0.95, [(-0.22, -0.2), (-0.12, -0.18), (0.05, -0.04)], [0.23, 0.12, 0.06]),
        ("head", 1.0, [(0.27, -1.0)], [0.35]),
    ],
    [  # lying
        ("leg", 0.78, [(0.3, -0.1), (0.75, -0.06)], [0.09, 0.07]),
        ("fur", 1.0, [(-0.45, -0.23), (-0.05, -0.34), (0.35, -0.25)], [0.23, 0.25, 0.22]),
        ("leg", 0.95, [(-0.45, -0.18), (-0.35, -0.15), (-0.1, -0.04)], [0.2, 0.12, 0.06]),
        ("tail", 0.95, [(-0.6, -0.1), (-1.0, 0.08), (-0.6, 0.02)], [1.0, 0.7]),
        ("leg", 1.0, [(0.3, -0.12), (0.68, -0.05)], [0.1, 0.07]),
        ("head", 1.0, [(0.5, -0.42)], [0.35]),
    ],
]


def moved(parts: list[Part], matrix: ArrayLike, offset: ArrayLike = 0) -> list[Part]:
    """Return the parts with every point, a row, multiplied by `matrix` (2, 2) and moved by `offset` (2,)."""
    return [part._replace(polygons=part.polygons @ np.asarray(matrix) + offset) for part in parts]


def tube(path: ArrayLike, radii: list[float], surface: str, shade: float = 1.0, corners: int = 20) -> Part:
    """Return discs, or squares, along the Bezier curve of `path` (K, 2); the `radii` are spread evenly."""
    points = np.asarray(path, dtype=np.float64)[:, None]
    t = np.linspace(0, 1, 16 if len(points) > 1 else 1)
    while len(points) > 1:
        points = points[:-1] + (points[1:] - points[:-1]) * t[:, None]
    turn = np.pi / 4 + np.arange(corners) * (2 * np.pi / corners)
    radius = np.interp(t, np.linspace(0, 1, len(radii)), radii)[:, None, None]
    return Part(points[0][:, None] + radius * np.stack([np.cos(turn), np.sin(turn)], axis=1), surface, shade)


def animal(rng: Generator, breed: Breed) -> list[Part]:
    """Draw an animal of `breed` in one of the poses."""
    parts: list[Part] = []
    for surface, shade, path, radii in POSES[rng.integers(len(POSES))]:
        points = np.array(path)
        points[-1] += rng.normal(0, 0.2 if surface == "tail" else 0.05, 2)
        if surface == "head":
            tilt = rng.uniform(-0.25, 0.25)
            parts += moved(_head(rng, breed), radii * np.array([[1, tilt], [-tilt, 1]]), points[-1])
            continue
        thickness = breed.tail if surface == "tail" else 1.0
        parts.append(tube(points, [radius * thickness for radius in radii], surface, shade))
        if surface == "leg":
            parts.append(tube(points[-1] + [(-0.02, 0), (0.06, 0)], [0.065, 0.055], "paw", shade))
    return moved(parts, np.diag([rng.uniform(0.9, 1.1), breed.height]))


def _head(rng: Generator, breed: Breed) -> list[Part]:
    """A ball of radius 1 around the origin with a face, turned from the viewer to the right."""
    turn = rng.uniform(0.9, 1.3) if rng.random() < 0.35 else rng.uniform(-0.25, 0.25)
    side, front = np.sin(turn), np.cos(turn)
    cheek, nose, eye, slit = (0.6, 0.1, 0.25, 0.08) if breed.species == 1 else (0.5, 0.15, 0.21, 0.02)
    muzzle = side * (0.75 + breed.snout)
    skull = [tube([(-0.12, -0.05), (0.12, -0.05)], [0.88], "fur")]
    skull += [tube([(side * 0.2 - 0.25, 0.3), (side * 0.2 + 0.25, 0.3)], [cheek], "fur")]
    ears = []
    for x in (0.62 * front - 0.15 * side, -0.62 * front - 0.15 * side):
        tip = x + np.copysign(0.4 * front, x)
        if breed.ears == "pointed":
            ears += [tube([(x, -0.5), (tip, -1.5)], [0.42, 0.2, 0.06], "ear", 0.9)]
            ears += [tube([(x, -0.55), (tip, -1.3)], [0.25, 0.03], "pink")]
        else:
            ears += [tube([(x, -0.6), (tip * 1.1, -0.6), (tip, 0.55)], [0.16, 0.28, 0.25], "ear", 0.78)]
    parts = ears + skull if breed.ears == "pointed" else skull + ears
    parts += [tube([(side * 0.4, 0.38), (muzzle, 0.42)], [0.5, 0.25 + breed.snout * 0.3], "muzzle")]
    parts += [tube([(muzzle * 1.1, 0.25)], [nose], "dark")]
    parts += [tube([(muzzle, 0.3 + 0.2 * side), (muzzle - 0.4 * side, 0.6)], [0.03], "dark")]
    for x in np.sin([angle for angle in (turn - 0.42, turn + 0.42) if angle < 1.1]):
        parts += [tube([(x, -0.14)], [eye], "dark"), tube([(x, -0.14)], [eye * 0.83], "iris")]
        parts += [tube([(x, -0.14 - slit), (x, -0.14 + slit)], [eye * 0.55 - slit / 2], "dark")]
        parts += [tube([(x - 0.06, -0.22)], [0.06], "light")]
    return parts


def thing(rng: Generator) -> list[Part]:
    """Draw a cushion, or a pile of round and square pieces, such as a vase, a lamp, a tower or a plant."""
    if rng.random() < 0.2:
        return [tube(rng.uniform((-0.8, -0.6), (0.8, -0.2), (3, 2)), list(rng.uniform(0.1, 0.4, 3)), "fur")]
    parts: list[Part] = []
    top = 0.0
    for surface in ("fur", "accent", "fur")[: rng.integers(1, 4)]:
        low, high, height = rng.uniform((0.1, 0, 0.2), (0.5, 0.4, 0.6))
        path = [(0, top - low), (0, top - low - height)]
        parts += [tube(path, [low, high], surface, corners=rng.choice([4, 20]))]
        top -= low + height
    if rng.random() < 0.2:
        tips = rng.normal((0, top - 0.7), (0.5, 0.2), (7, 2))
        parts += [tube([(0, top), (0, top - 0.6), tip], [0.04, 0.1, 0.04], "leaf") for tip in tips]
    return parts
