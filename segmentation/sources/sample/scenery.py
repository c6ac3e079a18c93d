"""Outlines of the things that stand around the sample images' animals.

They are made of the same shapes, at the same sizes, as heads, bodies, legs and ears:
what tells an animal is how its parts belong together. Coordinates as in `shapes`.
"""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from segmentation.sources.sample.shapes import Part, ellipse, polygon, tube


def thing(rng: Generator) -> list[Part]:
    """Draw one of the things around the animal: about one unit tall, standing at y = 0."""
    return _THINGS[rng.integers(len(_THINGS))](rng)


def _cushion(rng: Generator) -> list[Part]:
    width, height = rng.uniform(0.5, 0.8), rng.uniform(0.25, 0.5)
    return [Part(ellipse(0, -height, width, height, rng.uniform(-0.2, 0.2), 3.5), "fur", 1.0, 1.0, 0.2)]


def _ball(rng: Generator) -> list[Part]:
    band = Part(ellipse(0, -0.4, 0.12, 0.4, 0.4), "accent", 1.0, 0.3)
    return [Part(ellipse(0, -0.4, 0.4, 0.4), "fur"), band]


def _box(rng: Generator) -> list[Part]:
    w, h, lean = rng.uniform(0.35, 0.7), rng.uniform(0.4, 0.9), rng.uniform(-0.2, 0.2)
    lid = polygon((-w, -h), (w, -h), (w + lean - 0.1, -h - 0.2), (-w + lean + 0.1, -h - 0.2))
    return [Part(polygon((-w, 0), (w, 0), (w, -h), (-w, -h)), "fur", 0.9, 0.3), Part(lid, "accent", 1.1, 0.2)]


def _stool(rng: Generator) -> list[Part]:
    height, width = rng.uniform(0.6, 0.9), rng.uniform(0.4, 0.65)
    legs = [tube([(x * width, -height), (x * width * 1.1, 0)], [0.07, 0.05]) for x in (-0.6, 0.5, -0.9, 0.9)]
    seat = Part(ellipse(0, -height, width, rng.uniform(0.12, 0.25), 0, 2.6), "fur", 1.0, 1.0, 0.2)
    return [*(Part(leg, "accent", 0.8) for leg in legs), seat]


def _plant(rng: Generator) -> list[Part]:
    leaves = []
    for x in np.linspace(-0.8, 0.8, rng.integers(5, 10)):
        tip = (x + rng.uniform(-0.1, 0.1), -rng.uniform(0.9, 1.5) + 0.4 * abs(x))
        blade = tube([(0, -0.4), (x * 0.3, -1.0), tip], [0.03, 0.1, 0.02])
        leaves += [Part(blade, "leaf", rng.uniform(0.7, 1.1))]
    return [*leaves, Part(polygon((-0.2, 0), (0.2, 0), (0.3, -0.45), (-0.3, -0.45)), "fur", 1.0, 0.8)]


def _lamp(rng: Generator) -> list[Part]:
    pole = Part(tube([(0, -0.03), (0, -1.0)], [0.035, 0.035]), "accent", 0.8)
    shade = Part(polygon((-0.4, -0.85), (0.4, -0.85), (0.22, -1.35), (-0.22, -1.35)), "fur", 1.1, 0.7)
    return [pole, Part(ellipse(0, -0.04, 0.25, 0.06), "accent"), shade]


def _bush(rng: Generator) -> list[Part]:
    spots = rng.uniform((-0.5, -0.7, 0.2), (0.5, -0.2, 0.4), (6, 3))
    surface = rng.choice(["leaf", "fur"])
    return [Part(ellipse(x, y, r, r * 0.9), surface, rng.uniform(0.8, 1.05), 1.0, 1.0) for x, y, r in spots]


def _vase(rng: Generator) -> list[Part]:
    profile = [0.2, *rng.uniform(0.2, 0.42, 2), 0.12, 0.16]
    mouth = Part(ellipse(0, -1.1, 0.14, 0.05), "dark", 1.3, 0)
    return [Part(tube([(0, -0.18), (0, -1.0)], profile), "fur"), mouth]


def _log(rng: Generator) -> list[Part]:
    radius = rng.uniform(0.18, 0.28)
    trunk = Part(tube([(-0.6, -radius), (0.6, -radius)], [radius, radius]), "fur", 0.95, 1.0, 0.3)
    twig = Part(tube([(-0.2, -radius), (-0.5, -radius * 3)], [0.08, 0.05]), "fur", 0.9, 1.0, 0.3)
    return [twig, trunk, Part(ellipse(0.65, -radius, radius * 0.6, radius * 0.95), "accent", 1.0, 0.4)]


def _blocks(rng: Generator) -> list[Part]:
    side = rng.uniform(0.3, 0.4)
    cube = Part(polygon((-side, 0), (side, 0), (side, -2 * side), (-side, -2 * side)), "fur", 1.0, 0.3)
    return [cube, Part(polygon((-side, -2 * side), (side, -2 * side), (0, -3.4 * side)), "accent", 1.0, 0.3)]


def _rug(rng: Generator) -> list[Part]:
    return [Part(ellipse(0, -0.14, rng.uniform(0.8, 1.2), 0.2), "fur", 1.0, 0.1, 0.4)]


def _hanging(rng: Generator) -> list[Part]:
    w, h = rng.uniform(0.3, 0.6, 2)
    frame = Part(ellipse(0, -2, w + 0.09, h + 0.09, 0, 9), "accent", 1.0, 0.4)
    return [frame, Part(ellipse(0, -2, w, h, 0, 9), "fur", 1.1, 0)]


_THINGS: tuple[Callable[[Generator], list[Part]], ...] = (
    _cushion,
    _ball,
    _box,
    _stool,
    _plant,
    _lamp,
    _bush,
    _vase,
    _log,
    _blocks,
    _rug,
    _hanging,
)
