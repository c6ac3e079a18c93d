"""VOC's SegmentationClass/: masks whose colours are classes, by labelmap.txt or by VOC itself.

Source: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html (VOClabelcolormap).
"""

from pathlib import Path

import numpy as np

from segmentation.common import dataset_layout as layout
from segmentation.common.errors import InputError

CLASSES = (
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike"
    " person pottedplant sheep sofa train tvmonitor"
)
NO_CLASSES = {"background", "void", "ignore", "unlabeled"}


def read_colors(masks: Path) -> tuple[dict[str, str], set[str]]:
    """Return each class of a SegmentationClass/ folder with its colour; and these, background's and void's.

    Raises `InputError` for a labelmap.txt with a line that is not `class:r,g,b:parts:actions`, or without
    classes, or with two of one colour.
    """
    file = masks.parent / "labelmap.txt"
    if not file.is_file():
        colors = {name: _color(number) for number, name in enumerate(CLASSES.split())}
    else:
        colors = {}
        for line in layout.read_lines(file):
            name, _, rest = line.partition(":")
            try:
                red, green, blue = bytes(map(int, rest.partition(":")[0].split(",")))
            except ValueError:
                raise InputError(f"{file}: {line!r} is not `class:red,green,blue:parts:actions`") from None
            colors[name] = f"#{red:02x}{green:02x}{blue:02x}"
    classes = {name: color for name, color in colors.items() if name.lower().strip("_") not in NO_CLASSES}
    if len(set(classes.values())) < max(1, len(classes)):
        raise InputError(f"{file}: names no class besides the background, or two of one colour")
    return classes, {*colors.values(), "#000000", "#e0e0c0"}  # void: the ring around each thing


def _color(number: int) -> str:
    """Return VOC's colour of a class: its bits, in turn, are the upper bits of red, green and blue."""
    bits = [number >> (3 * bit + channel) & 1 for channel in range(3) for bit in range(8)]
    return f"#{np.packbits(bits).tobytes().hex()}"
