"""Colours, textures, light and brush of the sample images.

Colours are float32 in [0, 1]; canvases are (H, W, 3), RGB.
"""

from typing import cast

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from segmentation.sources.sample.shapes import Part, moved

Floats = NDArray[np.float32]

# Animals and surroundings share one palette, so that a colour tells nothing.
PALETTE: Floats = np.float32(1 / 255) * np.array(
    [
        (238, 232, 222),  # white
        (232, 212, 178),  # cream
        (214, 180, 134),  # sand
        (206, 134, 72),  # ginger
        (164, 88, 50),  # rust
        (134, 100, 74),  # mocha
        (92, 62, 46),  # chocolate
        (52, 46, 46),  # black
        (96, 104, 116),  # slate
        (146, 144, 142),  # grey
        (192, 192, 190),  # silver
        (150, 164, 174),  # pale blue
    ],
    dtype=np.float32,
)
PLAIN = {"dark": (0.10, 0.08, 0.08), "light": (0.97, 0.97, 0.95), "pink": (0.80, 0.52, 0.48)}
GREEN = (0.75, 0.95, 0.6)  # what tints a leaf
IRISES = ((0.80, 0.65, 0.20), (0.50, 0.65, 0.35), (0.45, 0.30, 0.15), (0.45, 0.65, 0.80))
SUPERSAMPLING = 2  # outlines are drawn at twice the size and averaged down


def scene(rng: Generator, height: int, width: int, horizon: float, palette: Floats) -> Floats:
    """Paint a wall and a floor that meet around row `horizon`, in the colours of `palette` (K, 3)."""
    meet = np.full(width, horizon, dtype=np.float32)
    if rng.random() < 0.5:  # a meadow before a hedge
        meet += 3 * _noise(rng, 1, width, 40)[0]
    below = np.arange(height, dtype=np.float32)[:, None] - meet
    floor = (below + 0.5).clip(0, 1)[..., None]
    wall, ground = (_texture(rng, height, width, 0.25, palette) for _ in range(2))
    canvas = wall * (1 - floor) + ground * floor
    return cast(Floats, canvas * (1 - 0.25 * np.exp(-np.abs(below) / 4))[..., None])


def apart(colours: Floats, others: Floats) -> Floats:
    """Sort `colours` (K, 3), the one least like any of `others` (J, 3) first."""
    distance = np.linalg.norm(colours[:, None] - others, axis=2).min(axis=1)
    return colours[np.argsort(-distance, kind="stable")]


def add(rng: Generator, canvas: Floats, parts: list[Part], palette: Floats) -> Floats:
    """Paint a figure and its shadow over `canvas`, in place; return the figure's coverage (H, W), 0 to 1."""
    height, width = canvas.shape[:2]
    cover = np.zeros((height, width), dtype=np.float32)
    x0, y0, x1, y1 = _window(parts, width, height)
    if x0 < x1 and y0 < y1:
        _cast_shadow(canvas, parts)
        window = np.s_[y0:y1, x0:x1]
        _paint(rng, canvas[window], cover[window], moved(parts, -x0, -y0), palette)
    return cover


def photographed(rng: Generator, canvas: Floats) -> NDArray[np.uint8]:
    """Light the canvas from one side, tint it, blur it a little, add a sensor's noise, and round it."""
    height, width = canvas.shape[:2]
    x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    light = rng.uniform(0.92, 1.06) + rng.uniform(-0.12, 0.12) * x + rng.uniform(-0.12, 0.12) * y
    tint = rng.uniform(0.94, 1.06, 3).astype(np.float32)
    image = cv2.GaussianBlur(canvas * light[..., None] * tint, (0, 0), rng.uniform(0.3, 0.7))
    grain = rng.standard_normal(canvas.shape, dtype=np.float32) * rng.uniform(0.004, 0.015)
    return np.rint((image + grain).clip(0, 1) * 255).astype(np.uint8)


def _noise(rng: Generator, height: int, width: int, cell: float, stretch: float = 1.0) -> Floats:
    """Smooth noise (H, W) of about unit variance; features `cell` px high, `stretch` times as wide."""
    coarse = (int(height / cell) + 3, int(width / (cell * stretch)) + 3)
    values = rng.standard_normal(coarse, dtype=np.float32)
    return cast(Floats, cv2.resize(values, (width, height), interpolation=cv2.INTER_CUBIC))


def _colour(rng: Generator, palette: Floats) -> Floats:
    colour = palette[rng.integers(len(palette))] * rng.uniform(0.92, 1.08)
    return (colour + rng.normal(0, 0.02, 3)).clip(0.06, 0.95).astype(np.float32)


def _texture(rng: Generator, height: int, width: int, patterned: float, palette: Floats) -> Floats:
    """A surface (H, W, 3): two colours as stripes, spots, patches or plain, under fine strands."""
    kind = ("stripes", "spots", "patches")[rng.integers(3)] if rng.random() < patterned else "plain"
    size = rng.uniform(5, 12)
    blend: Floats = 0.2 * _noise(rng, height, width, 30)
    if kind == "stripes":
        angle, pitch = rng.uniform(0, np.pi), 2 * np.pi / (1.6 * size)
        x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
        wave = x * float(np.cos(angle) * pitch) + y * float(np.sin(angle) * pitch)
        wave += rng.uniform(0, 1.4) * _noise(rng, height, width, 14)
        blend = cast(Floats, (np.sin(wave) - rng.uniform(-0.2, 0.5)) * 2.5)
    elif kind == "spots":
        blend = (_noise(rng, height, width, size) - 0.7) * 4
    elif kind == "patches":
        blend = (_noise(rng, height, width, 5 * size) - rng.uniform(-0.3, 0.5)) * 6
    mix = (blend.clip(0, 1) * rng.uniform(0.5, 0.95))[..., None]
    lying = rng.random() < 0.5
    strands = _noise(rng, height, width, 1.3, 4) if lying else _noise(rng, width, height, 1.3, 4).T
    grain = 1 + rng.uniform(0.01, 0.04) * strands + 0.035 * _noise(rng, height, width, 12)
    first, second = _colour(rng, palette), _colour(rng, palette)
    return cast(Floats, (first + (second - first) * mix) * grain[..., None])


def _surfaces(rng: Generator, height: int, width: int, used: set[str], palette: Floats) -> dict[str, Floats]:
    """What a figure is painted with: textures for the coat, single colours (1, 1, 3) for the rest."""
    iris = IRISES[rng.integers(len(IRISES))]
    single = PLAIN | {"iris": iris}
    surfaces = {name: np.array([[rgb]], dtype=np.float32) for name, rgb in single.items()}
    surfaces["fur"] = _texture(rng, height, width, 0.25, palette)
    surfaces["accent"] = _texture(rng, height, width, 0.0, palette)
    surfaces["ear"] = surfaces[("fur", "fur", "accent")[rng.integers(3)]]
    if "leaf" in used:
        surfaces["leaf"] = _texture(rng, height, width, 0.2, PALETTE) * np.array(GREEN, dtype=np.float32)
    return surfaces


def _window(parts: list[Part], width: int, height: int, margin: int = 4) -> tuple[int, int, int, int]:
    """The pixels (x0, y0, x1, y1) that parts may touch, within the frame."""
    points = np.concatenate([part.polygons.reshape(-1, 2) for part in parts])
    x0, y0 = np.maximum(np.floor(points.min(axis=0)).astype(int) - margin, 0)
    x1, y1 = np.minimum(np.ceil(points.max(axis=0)).astype(int) + margin, (width, height))
    return int(x0), int(y0), int(x1), int(y1)


def _cast_shadow(canvas: Floats, parts: list[Part]) -> None:
    """Darken the ground under the lowest tenth of a figure."""
    points = np.concatenate([part.polygons.reshape(-1, 2) for part in parts])
    top, base = points[:, 1].min(), points[:, 1].max()
    feet = points[points[:, 1] > base - 0.1 * (base - top), 0]
    middle, reach = (feet.min() + feet.max()) / 2, (feet.max() - feet.min()) / 2 + 3
    x = (np.arange(canvas.shape[1]) - middle) / reach
    y = (np.arange(canvas.shape[0]) - base) / (0.25 * reach + 2)
    shadow = np.exp(-(y**2))[:, None] * np.exp(-(x**4))
    canvas *= (1 - 0.3 * shadow)[..., None].astype(np.float32)


def _paint(rng: Generator, canvas: Floats, cover: Floats, parts: list[Part], palette: Floats) -> None:
    """Paint parts, lit from above and a little from one side, over `canvas` and mark them in `cover`."""
    height, width = cover.shape
    surfaces = _surfaces(rng, height, width, {part.surface for part in parts}, palette)
    frays = rng.standard_normal((height * SUPERSAMPLING, width * SUPERSAMPLING), dtype=np.float32)
    frays = cv2.GaussianBlur(frays, (0, 0), 1.2).clip(-0.5, 0.5)  # clipped: no tufts away from the outline
    side = rng.uniform(-1, 1)
    for part in parts:
        x0, y0, x1, y1 = _window([part], width, height)
        if x0 >= x1 or y0 >= y1:
            continue
        here = np.s_[y0:y1, x0:x1]
        k = SUPERSAMPLING
        alpha = _coverage(moved([part], -x0, -y0)[0], frays[y0 * k : y1 * k, x0 * k : x1 * k])
        lit = _relief(part, alpha, side)[..., None]
        surface = np.broadcast_to(surfaces[part.surface], canvas.shape)[here]
        canvas[here] += (surface * lit - canvas[here]) * alpha[..., None]
        np.maximum(cover[here], alpha, out=cover[here])


def _relief(part: Part, alpha: Floats, side: float) -> Floats:
    """Brightness (H, W) of a part that bulges where it is far from its outline."""
    if part.relief == 0:
        return np.full_like(alpha, part.shade)
    spread = max(0.2 * min(alpha.shape), 0.5)
    bulge = cv2.GaussianBlur(alpha, (0, 0), spread, borderType=cv2.BORDER_REPLICATE)
    slope = cv2.Sobel(bulge, cv2.CV_32F, 0, 1) + side * cv2.Sobel(bulge, cv2.CV_32F, 1, 0)
    return cast(Floats, part.shade * (1 + part.relief * (0.85 * (bulge - 0.75) + 0.12 * spread * slope)))


def _coverage(part: Part, frays: Floats) -> Floats:
    """How much of each pixel the part covers, 0 to 1; fluff frays its outline by the noise `frays`."""
    shift, k = 4, SUPERSAMPLING
    mask = np.zeros(frays.shape, dtype=np.uint8)
    for outline in np.rint(part.polygons * k * 2**shift).astype(np.int32):
        cv2.fillConvexPoly(mask, outline, 255, cv2.LINE_AA, shift)
    cover = mask.astype(np.float32) / 255
    if part.fluff > 0:
        soft = cv2.GaussianBlur(cover, (0, 0), 1.2 * k, borderType=cv2.BORDER_REPLICATE)
        cover = ((soft - 0.45 + frays * part.fluff * 0.6) * 4 + 0.5).clip(0, 1)
    return cast(Floats, cv2.resize(cover, None, fx=1 / k, fy=1 / k, interpolation=cv2.INTER_AREA))
