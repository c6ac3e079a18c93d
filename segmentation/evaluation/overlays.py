"""Pictures for people: what a network got right and wrong."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

PANEL, GAP, HEAD = 192, 8, 26  # pixels
HIT, FALSE, MISSED = (60, 190, 90), (230, 60, 50), (50, 110, 235)
LEGEND = (("found", HIT), ("false", FALSE), ("missed", MISSED))


class Example(NamedTuple):
    """A test picture with its true and its predicted mask, 0 or 1, at network size."""

    picture_id: str
    picture: Image.Image
    truth: NDArray[np.uint8]
    prediction: NDArray[np.uint8]
    dice: float


def extremes(dice: NDArray[np.float64], count: int = 3) -> list[tuple[str, list[int]]]:
    """Return the positions of the `count` best, median and worst of N scores; ties in list order."""
    order = [int(position) for position in np.argsort(-dice, kind="stable")]
    middle = max(0, (len(order) - count) // 2)
    return [("best", order[:count]), ("median", order[middle : middle + count]), ("worst", order[-count:])]


def overlay(picture: Image.Image, truth: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> Image.Image:
    """Tint `picture` where the prediction hits (green), invents (red) or misses (blue) foreground.

    The masks may have any size: they are stretched over the picture.
    """
    shades = np.zeros((*truth.shape, 4), np.uint8)
    for (_, color), where in zip(
        LEGEND, (truth & prediction, prediction & ~truth & 1, truth & ~prediction & 1), strict=True
    ):
        shades[where == 1] = (*color, 130)
    tint = Image.fromarray(shades).resize(picture.size, Image.Resampling.NEAREST)
    return Image.alpha_composite(picture.convert("RGBA"), tint).convert("RGB")


def sheet(title: str, rows: Sequence[tuple[str, Sequence[Example]]]) -> bytes:
    """Draw rows of examples, each as picture and overlay side by side, to a PNG."""
    columns = 2 * max(len(examples) for _, examples in rows)
    height = HEAD + len(rows) * (HEAD + PANEL + GAP)
    canvas = Image.new("RGB", (columns * (PANEL + GAP) + GAP, height), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=15)
    draw.text((GAP, 5), title, "black", font)
    at = GAP + draw.textlength(title, font) + 24
    for label, color in LEGEND:
        draw.rectangle((at, 8, at + 12, 20), fill=color)
        draw.text((at + 17, 5), label, "black", font)
        at += draw.textlength(label, font) + 36
    small = ImageFont.load_default(size=13)
    for index, (label, examples) in enumerate(rows):
        top = HEAD + index * (HEAD + PANEL + GAP)
        for column, example in enumerate(examples):
            left = GAP + 2 * column * (PANEL + GAP)
            draw.text((left, top + 6), f"{label}  {example.dice:.3f}  {example.picture_id}", "black", small)
            picture = example.picture.copy()
            scale = PANEL / max(picture.size)
            picture = picture.resize([max(1, round(side * scale)) for side in picture.size])
            for shift, panel in enumerate((picture, overlay(picture, example.truth, example.prediction))):
                canvas.paste(panel, (left + shift * (PANEL + GAP), top + HEAD))
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
