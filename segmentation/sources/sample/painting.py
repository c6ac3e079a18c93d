"""Colours, textures, light and brush of the sample images: float32 from 0 to 1, RGB."""

from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from segmentation.sources.sample.figures import Part

Floats = NDArray[Any]  # of float32
Shape = tuple[int, int]  # height and width in px

FLAT = {"dark": (0.1, 0.1, 0.1), "light": (1.0, 1.0, 0.9), "pink": (0.8, 0.5, 0.5), "leaf": (0.4, 0.5, 0.3)}
PATTERNS = (((7, 7), 4), ((5, 30), 4), ((45, 45), 6))  # spots, stripes, patches: cell in px, and contrast


def palettes(rng: Generator) -> tuple[Floats, Floats]:
    """Draw 3 colours of walls and floors, and 3 of coats and things that are unlike those, (3, 3) each."""
    # One range for both, from black to white and from pale blue to rust.
    brightness, warmth = rng.uniform((0.2, -0.15), (0.95, 1), (9, 2)).T[..., None]
    scenery, others = np.split(np.array(brightness * (1 - warmth * (0, 0.4, 0.65)), dtype=np.float32), [3])
    distance = np.linalg.norm(others[:, None] - scenery, axis=2).min(axis=1)
    return scenery, others[np.argsort(-distance)[:3]]


def texture(rng: Generator, shape: Shape, colours: Floats) -> Floats:
    """Draw a surface (H, W, 3): one of the colours, or a pattern of two, under fine strands."""
    first, second = colours[rng.integers(len(colours), size=2)]
    cell, contrast = PATTERNS[rng.integers(len(PATTERNS))] if rng.random() < 0.25 else ((30, 30), 0.2)
    blend = (_noise(rng, shape, rng.permutation(cell)) - rng.uniform(0, 0.7)) * contrast
    mix = blend.clip(0, rng.uniform(0.5, 0.9))
    strands = rng.uniform(0.01, 0.04) * _noise(rng, shape, rng.permutation((1.3, 5)))
    grain = 1 + strands + 0.035 * _noise(rng, shape, (12, 12))
    return (first + (second - first) * mix[..., None]) * grain[..., None]


def scene(rng: Generator, shape: Shape, horizon: float, colours: Floats) -> Floats:
    """Paint a wall and a floor that meet around row `horizon`, along an uneven edge."""
    uneven = rng.uniform(0, 4) * _noise(rng, (1, shape[1]), (1, 40))
    below = np.arange(shape[0], dtype=np.float32)[:, None] - horizon - uneven
    wall, floor = texture(rng, shape, colours), texture(rng, shape, colours)
    return np.where(below[..., None] > 0, floor, wall) * (1 - 0.25 * np.exp(-np.abs(below) / 4))[..., None]


def paint(rng: Generator, canvas: Floats, parts: list[Part], coats: list[Floats], fluff: float) -> Floats:
    """Paint a figure over `canvas`, in place; return its coverage (H, W), 0 to 1: below 0.5 in its shadow.

    It wears the first two of `coats`, textures (H, W, 3). `fluff` frays its outline; 1 is long fur.
    """
    height, width = canvas.shape[:2]
    flat = FLAT | {"shadow": (0, 0, 0), "iris": tuple(rng.uniform((0.4, 0.4, 0.1), (0.8, 0.7, 0.6)))}
    textured = {name: coats[rng.integers(2)] for name in ("ear", "paw", "muzzle")} | {"accent": coats[1]}
    frays = fluff * _noise(rng, (height, width), (1.7, 1.7)).clip(-2, 2) / 8
    cover = np.zeros((height, width), dtype=np.float32)
    for part in parts:
        window = np.array([part.polygons.min(axis=(0, 1)) - 4, part.polygons.max(axis=(0, 1)) + 4])
        (x0, y0), (x1, y1) = window.clip(0, (width, height)).astype(int)
        if x0 == x1 or y0 == y1:
            continue
        here = np.s_[y0:y1, x0:x1]
        mask = np.zeros((y1 - y0, x1 - x0), dtype=np.uint8)
        for outline in np.rint((part.polygons - (x0, y0)) * 16).astype(np.int32):
            cv2.fillConvexPoly(mask, outline, 255, cv2.LINE_AA, shift=4)  # in 16ths of a pixel
        alpha: Floats = mask.astype(np.float32) / 255
        if part.surface in flat:
            surface: Floats = np.array(flat[part.surface], dtype=np.float32)
        else:  # textured, so its outline is frayed, and it bulges where it is far from that, lit from above
            alpha = ((cv2.GaussianBlur(alpha, (0, 0), 1.2) - 0.45 + frays[here]) * 4 + 0.5).clip(0, 1)
            bulge = cv2.GaussianBlur(alpha, (0, 0), 0.2 * min(alpha.shape), borderType=cv2.BORDER_REPLICATE)
            above = np.linspace(0.06, -0.06, len(alpha), dtype=np.float32)[:, None]
            surface = textured.get(part.surface, coats[0])[here] * (0.36 + 0.85 * bulge + above)[..., None]
        if part.surface == "shadow":
            alpha = 0.4 * cv2.GaussianBlur(alpha, (0, 0), 2)
        canvas[here] += (part.shade * surface - canvas[here]) * alpha[..., None]
        np.maximum(cover[here], alpha, out=cover[here])
    return cover


def photographed(rng: Generator, canvas: Floats) -> NDArray[np.uint8]:
    """Light the canvas from one side, tint it, blur it a little, add a sensor's noise, and round it."""
    y, x = (np.linspace(-1, 1, size, dtype=np.float32) for size in canvas.shape[:2])
    light = rng.uniform(0.92, 1.06) + rng.uniform(-0.12, 0.12) * x + rng.uniform(-0.12, 0.12) * y[:, None]
    tint = rng.uniform(0.94, 1.06, 3).astype(np.float32)
    image = cv2.GaussianBlur(canvas * light[..., None] * tint, (0, 0), rng.uniform(0.3, 0.7))
    grain = rng.standard_normal(canvas.shape, dtype=np.float32) * rng.uniform(0.004, 0.015)
    return np.rint((image + grain).clip(0, 1) * 255).astype(np.uint8)


def _noise(rng: Generator, shape: Shape, cell: ArrayLike) -> Floats:
    """Smooth noise (H, W) of about unit variance, with features of `cell` (height, width) px."""
    values = rng.standard_normal(np.ceil(np.divide(shape, cell)).astype(int) + 2, dtype=np.float32)
    return cv2.resize(values, shape[::-1], interpolation=cv2.INTER_CUBIC)
