"""Sheets of example images: what a network got right and wrong."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segmentation.inference.predictor import Predictor
from segmentation.loading.dataset import SegmentationDataset
from segmentation.loading.transforms import Mask
from segmentation.scoring.scores import Values

PANEL, GAP, HEAD = 192, 8, 26  # pixels
HIT, FALSE, MISSED = (60, 190, 90), (230, 60, 50), (50, 110, 235)
LEGEND = (("found", HIT), ("false", FALSE), ("missed", MISSED))


class Example(NamedTuple):
    """A test image in its own size, with its target and predicted mask, 0 or 1, at network size."""

    image_id: str
    image: Image.Image
    target: Mask
    prediction: Mask
    dice: float


def examples(
    predictor: Predictor, test: SegmentationDataset, dice: Values
) -> list[tuple[str, list[Example]]]:
    """Return the best, median and worst test images of a network, by their `dice`, with its predictions."""

    def example(index: int) -> Example:
        image, target = test.read_original(index), test.read_mask(index)
        (prediction,) = predictor.masks([image], own_size=False)
        return Example(test.ids[index], Image.fromarray(image), target, prediction, float(dice[index]))

    return [(label, [example(index) for index in indices]) for label, indices in extremes(dice)]


def extremes(dice: Values, count: int = 3) -> list[tuple[str, list[int]]]:
    """Return the indices of the `count` best, median and worst of N scores; ties in list order."""
    order = [int(index) for index in np.argsort(-dice, kind="stable")]
    middle = max(0, (len(order) - count) // 2)
    return [("best", order[:count]), ("median", order[middle : middle + count]), ("worst", order[-count:])]


def overlay(image: Image.Image, target: Mask, prediction: Mask) -> Image.Image:
    """Tint `image` where the prediction found (green), invented (red) or missed (blue) foreground.

    The masks may have any size: they are stretched over the image.
    """
    shades = np.zeros((*target.shape, 4), np.uint8)
    for (_, color), where in zip(
        LEGEND, (target & prediction, prediction & ~target & 1, target & ~prediction & 1), strict=True
    ):
        shades[where == 1] = (*color, 130)
    tint = Image.fromarray(shades).resize(image.size, Image.Resampling.NEAREST)
    return Image.alpha_composite(image.convert("RGBA"), tint).convert("RGB")


def sheet(title: str, rows: Sequence[tuple[str, Sequence[Example]]]) -> bytes:
    """Draw rows of examples, each as image and overlay side by side, as a PNG."""
    columns = 2 * max(len(shown) for _, shown in rows)
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
    for index, (label, shown) in enumerate(rows):
        top = HEAD + index * (HEAD + PANEL + GAP)
        for column, example in enumerate(shown):
            left = GAP + 2 * column * (PANEL + GAP)
            draw.text((left, top + 6), f"{label}  {example.dice:.3f}  {example.image_id}", "black", small)
            scale = PANEL / max(example.image.size)
            image = example.image.resize([max(1, round(side * scale)) for side in example.image.size])
            for shift, panel in enumerate((image, overlay(image, example.target, example.prediction))):
                canvas.paste(panel, (left + shift * (PANEL + GAP), top + HEAD))
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
