"""Drawings of test images: what each network got right and wrong."""

import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from segmentation.common.geometry import Geometry, Mask
from segmentation.evaluation.prediction_scores import LabelledImage
from segmentation.scoring.scores import Values

PANEL, GAP, LINE = 256, 8, 22  # pixels
# Okabe and Ito 2008, "Color Universal Design": told apart by colour-blind people too.
LEGEND = {"true positive": (86, 180, 233), "false positive": (213, 94, 0), "false negative": (240, 228, 66)}
OPACITY = 0.55


class Example(NamedTuple):
    """A test image, the mask that each network predicts for it, 0 or 1 in its own size, and their Dice."""

    image_id: str
    image: LabelledImage
    masks: Mapping[str, Mask]
    dice: Mapping[str, float]


def ranked(dice: Mapping[str, Values], counts: Mapping[str, int]) -> dict[str, list[int]]:
    """Return the indices of the worst, median and best of N images, `counts` of each for every network.

    By the Dice of each network in turn. No image twice, and none where the others leave none; ties in the
    order of the images.
    """
    taken: set[int] = set()
    chosen: dict[str, list[int]] = {label: [] for label in counts}
    for label, count in counts.items():
        for values in dice.values():
            order = np.argsort(values, kind="stable")
            if label == "best":
                order = np.argsort(-values, kind="stable")
            elif label == "median":
                order = order[np.argsort(np.abs(np.arange(len(order)) - (len(order) - 1) / 2), kind="stable")]
            new = [int(index) for index in order if int(index) not in taken][:count]
            taken |= set(new)
            chosen[label] += new
    return chosen


def overlay(image: NDArray[np.uint8], target: Mask, prediction: Mask) -> Image.Image:
    """Tint the pixels of `image` that are true positive, false positive or false negative (`LEGEND`)."""
    tinted = image.astype(np.float32)
    cases = (target & prediction, prediction & ~target & 1, target & ~prediction & 1)
    for color, where in zip(LEGEND.values(), cases, strict=True):
        inside = where == 1
        tinted[inside] = (1 - OPACITY) * tinted[inside] + OPACITY * np.array(color, np.float32)
    return Image.fromarray(tinted.round().astype(np.uint8))


def panels(example: Example) -> Image.Image:
    """Draw an image and the overlay of each network side by side, each 256 pixels at its longer side."""
    image, target, _ = example.image
    parts = [Image.fromarray(image), *(overlay(image, target, mask) for mask in example.masks.values())]
    height, width = Geometry(PANEL, fit="pad").network_shape(*image.shape[:2])
    canvas = Image.new("RGB", (len(parts) * (width + GAP) - GAP, height), "white")
    for index, part in enumerate(parts):
        canvas.paste(part.resize((width, height), Image.Resampling.BICUBIC), (index * (width + GAP), 0))
    return canvas


def sheet(title: str, examples: Sequence[Example], titles: Mapping[str, str]) -> bytes:
    """Draw examples one below the other, id and Dice under each, as a PNG; `titles` name the networks."""
    rows = [panels(example) for example in examples]
    width = max(3 * PANEL, *(row.width for row in rows)) + 2 * GAP
    canvas = Image.new("RGB", (width, 3 * LINE + sum(row.height + LINE + GAP for row in rows)), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=14)
    draw.text((GAP, 4), title, "black", ImageFont.load_default(size=16))
    left = GAP
    for label, color in LEGEND.items():
        draw.rectangle((left, LINE + 8, left + 12, LINE + 20), fill=color, outline="black")
        draw.text((left + 18, LINE + 5), label, "black", font)
        left += 18 + int(draw.textlength(label, font)) + 24
    draw.text((GAP, 2 * LINE + 3), " | ".join(["image", *titles.values()]), "black", font)
    top = 3 * LINE
    for row, example in zip(rows, examples, strict=True):
        canvas.paste(row, (GAP, top))
        scores = ", ".join(f"{titles[name]} {dice:.3f}" for name, dice in example.dice.items())
        draw.text((GAP, top + row.height + 2), f"Dice {scores}: {example.image_id}", "black", font)
        top += row.height + LINE + GAP
    return encoded(canvas, "PNG", optimize=True)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return an image as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
