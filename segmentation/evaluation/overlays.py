"""Drawings of test images: what each network got right and wrong."""

import io
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from segmentation.common.geometry import Geometry, Mask
from segmentation.evaluation.boundary import object_width, square
from segmentation.scoring.scores import Values

PANEL, GAP, LINE = 256, 8, 22  # pixels
LARGE = 1600  # pixels at the longer side of an image in the gallery, at most
THIN = 16  # pixels of width, from which foreground is tinted
TINT = 140  # of 255: its opacity
TRUE = "true"
# Okabe and Ito 2008, "Color Universal Design": told apart by colour-blind people too.
LEGEND = {"true positive": (86, 180, 233), "false positive": (213, 94, 0), "false negative": (240, 228, 66)}


class Example(NamedTuple):
    """A test image, its masks, 0 or 1: the true one and that of each network, by name; and their Dice."""

    image_id: str
    image: NDArray[np.uint8]
    masks: Mapping[str, Mask]  # the first is `TRUE`
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
            order = np.argsort(-values if label == "best" else values, kind="stable")
            if label == "median":
                order = order[np.argsort(np.abs(np.arange(len(order)) - (len(order) - 1) / 2), kind="stable")]
            new = [int(index) for index in order if int(index) not in taken][:count]
            taken |= set(new)
            chosen[label] += new
    return chosen


def shown(example: Example, side: int) -> Example:
    """Return an example with `side` pixels at the longer side."""
    geometry = Geometry(side, "area", "pad")
    masks = {name: geometry.mask_to_network(mask) for name, mask in example.masks.items()}
    return example._replace(image=geometry.to_network(example.image), masks=masks)


def errors(target: Mask, prediction: Mask) -> Image.Image:
    """Draw what is true positive, false positive or false negative (`LEGEND`); the rest is transparent.

    A tint, or outlines of one pixel where the foreground is so thin that a tint would hide it.
    """
    kinds, opacity = target + 2 * prediction, TINT
    if object_width(target | prediction) < THIN:
        kinds, opacity = kinds * (cv2.erode(kinds, square(1)) != cv2.dilate(kinds, square(1))), 255
    drawn = Image.fromarray(kinds)
    drawn.putpalette(bytes([0, 0, 0, *chain(*reversed(LEGEND.values()))]))
    drawn.info["transparency"] = bytes([0, opacity, opacity, opacity])
    return drawn


def panels(example: Example) -> Image.Image:
    """Draw an image and what each network got right and wrong, side by side."""
    height, width = example.image.shape[:2]
    canvas = Image.new("RGB", (len(example.masks) * (width + GAP) - GAP, height), "white")
    for index, (name, mask) in enumerate(example.masks.items()):
        canvas.paste(Image.fromarray(example.image), place := (index * (width + GAP), 0))
        if name != TRUE:
            drawn = errors(example.masks[TRUE], mask).convert("RGBA")
            canvas.paste(drawn, place, drawn)
    return canvas


def gallery_files(example: Example) -> dict[str, bytes]:
    """Return the files of an image in the gallery, by name, of at most `LARGE` pixels a side.

    ID.jpg, the image; ID.NAME.png, each mask; ID.NAME.errors.png, to be laid on the image.
    """
    image_id, image, masks, _ = shown(example, min(LARGE, max(example.image.shape[:2])))
    files = {f"{image_id}.jpg": encoded(Image.fromarray(image), "JPEG", quality=80)}
    for name, mask in masks.items():
        files[f"{image_id}.{name}.png"] = encoded(Image.fromarray(mask > 0), "PNG")
        if name != TRUE:
            files[f"{image_id}.{name}.errors.png"] = encoded(errors(masks[TRUE], mask), "PNG")
    return files


def sheet(title: str, examples: Sequence[Example], titles: Mapping[str, str]) -> bytes:
    """Draw examples one below the other, id and Dice under each, as a PNG; `titles` name the networks."""
    rows = [panels(shown(example, PANEL)) for example in examples]
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
