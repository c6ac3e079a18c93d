"""LabelMe JSON, one file an image. Source: https://github.com/wkentaro/labelme (labelme/_label_file.py)."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from segmentation.common.errors import InputError
from segmentation.sources.annotations import shapes


def is_format(content: Any) -> bool:
    """Whether the content of a JSON file is that of LabelMe."""
    return isinstance(content, dict) and isinstance(content.get("shapes"), list) and "imagePath" in content


def read(file: Path, content: Any) -> shapes.Reading:
    """Return the image of `file`, whose `content` `is_format`: its polygons, rectangles and circles.

    Raises `InputError` for shapes that cannot be used.
    """
    size = shapes.image_size(content.get("imageWidth"), content.get("imageHeight"), str(file))
    image = shapes.AnnotatedImage(str(content["imagePath"]), size, [], file)
    skipped: Counter[str] = Counter()
    for place, entry in enumerate(content["shapes"]):
        where = f"{file}: shapes[{place}]"
        if not isinstance(entry, dict) or entry.get("label") is None:
            raise InputError(f"{where} has no label; export it again")
        kind = entry.get("shape_type") or "polygon"
        if kind in ("polygon", "rectangle", "circle"):
            points = _outline(kind, entry.get("points"), where)
            image.shapes.append(shapes.Shape(str(entry["label"]), where, [points]))
        else:
            skipped[f"{kind} shapes"] += 1
    return shapes.Reading([image], [], skipped)


def _outline(kind: str, values: Any, where: str) -> shapes.Points:
    if kind == "polygon":
        return shapes.polygon(values, where)
    points = shapes.numbers(values, where)
    if kind == "rectangle" and points.shape == (4, 2):  # as newer versions write it
        return points
    if points.shape != (2, 2):
        raise InputError(f"{where}: a {kind} has two points; delete it, or draw it again")
    if kind == "rectangle":  # two corners
        return shapes.placed(shapes.SQUARE, points.mean(axis=0), np.ptp(points, axis=0))
    diameter = 2 * np.linalg.norm(points[1] - points[0])  # a circle's centre, and a point on it
    return shapes.placed(shapes.CIRCLE, points[0], float(diameter))
