"""The sample images' cats and dogs: breeds, poses and heads, made of shapes.

Coordinates as in `shapes`; every animal faces +x, or the viewer.
"""

from collections.abc import Sequence
from typing import NamedTuple

from numpy.random import Generator

from segmentation.sources.sample.shapes import XY, Part, Points, ellipse, moved, tube


class Breed(NamedTuple):
    """What the images of one breed have in common; everything else is drawn per image."""

    name: str
    species: int  # 1 cat, 2 dog
    ears: str  # "pointed" or "floppy"
    snout: float  # length of the muzzle, in head radii
    tail: float  # thickness, in units
    legs: float  # length, in units
    fluff: float


BREEDS = (
    Breed("Amber_shorthair", 1, "pointed", 0.30, 0.085, 0.42, 0.35),
    Breed("Misty_longhair", 1, "pointed", 0.25, 0.13, 0.36, 1.0),
    Breed("brook_hound", 2, "floppy", 0.62, 0.08, 0.48, 0.3),
    Breed("heather_spaniel", 2, "floppy", 0.50, 0.115, 0.38, 0.9),
    Breed("thistle_terrier", 2, "pointed", 0.55, 0.095, 0.34, 0.7),
)


def animal(rng: Generator, breed: Breed) -> list[Part]:
    """Draw a pose, a head and their proportions for one animal of `breed`."""
    poses = (_standing, _sitting, _sitting_sideways, _lying)
    pose = poses[rng.integers(len(poses))]
    return [part._replace(fluff=part.fluff * breed.fluff) for part in pose(rng, breed)]


def _fur(polygons: Points, shade: float = 1.0, surface: str = "fur") -> Part:
    return Part(polygons, surface, shade, 1.0, 1.0)


def _flat(polygons: Points, surface: str, shade: float = 1.0) -> Part:
    return Part(polygons, surface, shade, 0.0)


def _leg(rng: Generator, hip: XY, foot: XY, radius: float, shade: float, sock: str) -> list[Part]:
    knee = ((hip[0] + foot[0]) / 2 + rng.uniform(-0.05, 0.05), (hip[1] + foot[1]) / 2)
    limb = _fur(tube([hip, knee, (foot[0], foot[1] - 0.03)], [radius * 1.35, radius, radius * 0.8]), shade)
    return [limb, _fur(ellipse(foot[0] + 0.025, foot[1] - 0.04, 0.085, 0.05), shade, sock)]


def _tail(rng: Generator, breed: Breed, root: XY, up: float) -> Part:
    length = rng.uniform(0.35, 0.6)
    middle = (root[0] - length * rng.uniform(0.5, 0.9), root[1] + 0.1 - 0.3 * up)
    tip = (root[0] - length * rng.uniform(0.3, 1.0), root[1] - length * up)
    return _fur(tube([root, middle, tip], [breed.tail, breed.tail * 1.1, breed.tail * 0.7]))


def _eyes(xs: Sequence[float], y: float, size: float, cat: bool, closed: bool) -> list[Part]:
    if closed:
        return [_flat(tube([(x - size, y), (x, y + size), (x + size, y)], [0.05, 0.05]), "dark") for x in xs]
    parts, slit = [], 0.42 if cat else 0.72
    for x in xs:
        parts += [_flat(ellipse(x, y, size * 1.15, size * 1.15), "dark")]
        parts += [_flat(ellipse(x, y, size * 0.95, size * 0.95), "iris")]
        parts += [_flat(ellipse(x, y, size * slit, size * max(slit, 0.8)), "dark")]
        parts += [_flat(ellipse(x - size * 0.3, y - size * 0.35, size * 0.27, size * 0.27), "light")]
    return parts


def _ear(rng: Generator, breed: Breed, side: float) -> list[Part]:
    if breed.ears == "floppy":
        drop = rng.uniform(0.35, 0.8)
        path = [(side * 0.6, -0.62), (side * 1.15, -0.6), (side * 1.08, drop)]
        return [_fur(tube(path, [0.16, 0.26, 0.24]), 0.78, "ear")]
    tip = (side * rng.uniform(0.72, 0.95), -1.5)
    outer = _fur(tube([(side * 0.52, -0.5), tip], [0.42, 0.2, 0.06]), 0.9, "ear")
    return [outer, _flat(tube([(side * 0.55, -0.55), (tip[0], -1.3)], [0.25, 0.03]), "pink", 0.85)]


def _face(rng: Generator, breed: Breed, closed: bool = False) -> list[Part]:
    """A head of radius 1 around the origin, seen from the front, turned a little aside."""
    cat, look = breed.species == 1, rng.uniform(-0.2, 0.2)
    parts = _ear(rng, breed, -1) + _ear(rng, breed, 1) if breed.ears == "pointed" else []
    parts += [_fur(ellipse(0, -0.05, 1.0, 0.88)), _fur(ellipse(0, 0.3, 0.9 if cat else 0.75, 0.55))]
    parts += [_fur(ellipse(look, 0.1, 0.17, 0.75), 1.0, "accent")] if rng.random() < 0.4 else []
    if breed.ears == "floppy":
        parts += _ear(rng, breed, -1) + _ear(rng, breed, 1)
    if not cat and rng.random() < 0.5:
        parts += [Part(ellipse(look, 0.98, 0.17, 0.27), "pink", 1.0, 0.5)]
    low = 0.25 + 0.35 * breed.snout
    for side in (-1, 1):
        muzzle = ellipse(look + side * 0.2, low + 0.12, 0.3, 0.2 + 0.3 * breed.snout)
        parts += [_fur(muzzle, 1.0, "accent")]
    parts += [Part(ellipse(look, low - 0.1, 0.14 if cat else 0.22, 0.1 if cat else 0.16), "dark", 1.0, 0.6)]
    parts += [_flat(tube([(look, low), (look, low + 0.25)], [0.035, 0.035]), "dark")]
    spread, size = rng.uniform(0.36, 0.44), 0.23 if cat else 0.18
    return parts + _eyes([look - spread, look + spread], -0.12, size, cat, closed)


def _profile(rng: Generator, breed: Breed) -> list[Part]:
    """A head of radius 1 around the origin, seen from its right side."""
    reach = 0.65 + breed.snout
    parts = moved(_ear(rng, breed, -1), 0.35, 0, 0.95)[:1] if breed.ears == "pointed" else []
    parts += [_fur(tube([(0.3, 0.3), (reach, 0.4)], [0.58, 0.3]), 1.0, rng.choice(["fur", "accent"]))]
    parts += [_fur(ellipse(0, 0, 0.92, 0.84))]
    parts += [Part(ellipse(reach + 0.2, 0.25, 0.16, 0.14), "dark", 1.0, 0.6)]
    parts += [_flat(tube([(reach - 0.02, 0.52), (reach - 0.4, 0.6)], [0.035, 0.035]), "dark")]
    if breed.ears == "floppy":
        parts += [_fur(tube([(-0.2, -0.5), (-0.75, -0.3), (-0.5, 0.75)], [0.2, 0.33, 0.28]), 0.78, "ear")]
    else:
        parts += moved(_ear(rng, breed, -1), 0.25, 0, 0.95)
    return parts + _eyes([0.42], -0.15, 0.2, breed.species == 1, False)


def _head(rng: Generator, breed: Breed, at: XY, profile: float, closed: bool = False) -> list[Part]:
    """A head at `at`; `profile` is the probability that it is seen from the side."""
    radius, tilt = rng.uniform(0.32, 0.38), rng.uniform(-0.25, 0.25)
    parts = _profile(rng, breed) if rng.random() < profile else _face(rng, breed, closed)
    return moved(parts, *at, radius, tilt)


def _standing(rng: Generator, breed: Breed) -> list[Part]:
    back, reach = -breed.legs - 0.17, rng.uniform(-0.16, 0.16, 4)
    sock, shoulder = rng.choice(["fur", "accent"]), back + rng.uniform(-0.04, 0.04)
    parts = [_tail(rng, breed, (-0.55, back - 0.06), rng.uniform(-0.1, 0.9))]
    for x, swing, shade in zip((-0.42, 0.33, -0.5, 0.42), reach, (0.72, 0.72, 0.95, 0.95), strict=True):
        parts += _leg(rng, (x, back + 0.1), (x + swing, 0.0), 0.105, shade, sock)
        if x == 0.33:  # the far legs lie behind the body, the near ones before it
            parts += [_fur(tube([(-0.48, back), (0, back + 0.05), (0.4, shoulder)], [0.25, 0.24, 0.27]))]
    height = shoulder - rng.uniform(0.15, 0.5)
    neck = _fur(tube([(0.42, shoulder - 0.02), (0.62, height)], [0.22, 0.17]))
    return [*parts, neck, *_head(rng, breed, (0.68, height), 0.4)]


def _sitting(rng: Generator, breed: Breed) -> list[Part]:
    sock, top = rng.choice(["fur", "accent"]), -rng.uniform(0.72, 0.9)
    tip = (rng.uniform(0.45, 0.6), -rng.uniform(0.1, 0.5))
    parts = [_fur(tube([(0.2, -0.1), (0.65, 0.05), tip], [breed.tail, breed.tail]), 0.85)]
    parts += [_fur(tube([(0, -0.25), (0, top)], [0.33, 0.29, 0.2]))]
    for side in (-1, 1):
        parts += [_fur(ellipse(side * 0.3, -0.17, 0.17, 0.2), 0.92)]
        parts += [_fur(ellipse(side * 0.32, -0.04, 0.12, 0.055), 1.0, sock)]
    parts += [_fur(ellipse(0, top + 0.25, 0.16, 0.27), 1.0, "accent")]
    for side in (-1, 1):
        parts += _leg(rng, (side * 0.13, top + 0.35), (side * 0.12, 0.02), 0.1, 1.0, sock)
    return parts + _head(rng, breed, (rng.uniform(-0.08, 0.08), top - 0.2), 0.15)


def _sitting_sideways(rng: Generator, breed: Breed) -> list[Part]:
    sock, top = rng.choice(["fur", "accent"]), -rng.uniform(0.7, 0.85)
    parts = [_tail(rng, breed, (-0.42, -0.1), rng.uniform(-0.05, 0.6))]
    parts += _leg(rng, (0.2, top + 0.15), (0.32, 0.0), 0.1, 0.74, sock)
    parts += [_fur(tube([(-0.22, -0.25), (-0.15, -0.6), (0.18, top)], [0.29, 0.27, 0.2]))]
    parts += _leg(rng, (0.17, top + 0.15), (0.22, 0.02), 0.105, 1.0, sock)
    parts += [_fur(ellipse(-0.2, -0.2, 0.25, 0.22), 0.95)]
    parts += [_fur(tube([(-0.15, -0.05), (0.1, -0.04)], [0.065, 0.055]), 1.0, sock)]
    return parts + _head(rng, breed, (0.27, top - 0.22), 0.4)


def _lying(rng: Generator, breed: Breed) -> list[Part]:
    sock, asleep = rng.choice(["fur", "accent"]), rng.random() < 0.4
    parts = [_fur(tube([(0.3, -0.08), (0.8, -0.06)], [0.085, 0.06]), 0.78, sock)]
    parts += [_fur(tube([(-0.45, -0.23), (-0.05, -0.34), (0.35, -0.25)], [0.23, 0.25, 0.22]))]
    parts += [_fur(ellipse(-0.42, -0.18, 0.25, 0.19), 0.95)]
    parts += [_fur(tube([(-0.35, -0.05), (-0.08, -0.04)], [0.06, 0.055]), 1.0, sock)]
    curl = [(-0.6, -0.1), (-1.0, 0.08), (-0.5 + rng.uniform(-0.4, 0.3), 0.02)]
    parts += [_fur(tube(curl, [breed.tail, breed.tail, breed.tail * 0.7]), 0.95)]
    parts += [_fur(tube([(0.3, -0.12), (0.72, -0.05)], [0.095, 0.065]), 1.0, sock)]
    height, profile = (0.28, 0.0) if asleep else (rng.uniform(0.42, 0.6), 0.3)
    return parts + _head(rng, breed, (0.5, -height), profile, asleep)
