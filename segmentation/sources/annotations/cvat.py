"""CVAT for images, XML 1.1. Source: https://docs.cvat.ai/docs/dataset_management/formats/xml_format/."""

from collections import Counter
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from segmentation.common.errors import InputError
from segmentation.sources.annotations import shapes


def read(file: Path, root: Element) -> shapes.Reading:
    """Return the images of `file`: their polygons, boxes, ellipses and masks.

    Raises `InputError` for a video's export, and for shapes that cannot be used.
    """
    if root.find("track") is not None:
        raise InputError(f"{file}: tracks of a video; export the task as `CVAT for images 1.1`")
    images, skipped = [], Counter[str]()
    for entry in root.iter("image"):
        name = _attribute(entry, "name", f"{file}: an image")
        size = shapes.image_size(entry.get("width"), entry.get("height"), f"{file}: {name}")
        image = shapes.AnnotatedImage(name, size, [], file)
        for place, drawn in enumerate(entry):
            where = f"{file}: {drawn.tag} {place + 1} of {name}"
            if drawn.tag == "mask":
                image.shapes.append(
                    shapes.Shape(_attribute(drawn, "label", where), where, [], _runs(drawn, where))
                )
            elif drawn.tag in ("polygon", "box", "ellipse"):
                image.shapes.append(
                    shapes.Shape(_attribute(drawn, "label", where), where, [_outline(drawn, where)])
                )
            else:
                skipped[f"{drawn.tag} shapes"] += 1
        images.append(image)
    classes = [label.findtext("name") or "" for label in root.iter("label") if label.find("name") is not None]
    return shapes.Reading(images, classes, skipped)


def _attribute(element: Element, name: str, where: str) -> str:
    value = element.get(name)
    if value is None:
        raise InputError(f"{where} has no {name}; export it again")
    return value


def _numbers(element: Element, names: str, where: str) -> shapes.Points:
    return shapes.numbers([_attribute(element, name, where) for name in names.split()], where)


def _outline(element: Element, where: str) -> shapes.Points:
    if element.tag == "polygon":
        points = _attribute(element, "points", where)
        return shapes.polygon([pair.split(",") for pair in points.strip().split(";")], where)
    degrees = float(shapes.numbers(element.get("rotation", "0"), where))
    if element.tag == "box":
        left, top, right, bottom = _numbers(element, "xtl ytl xbr ybr", where)
        center, size = np.array([left + right, top + bottom]) / 2, np.array([right - left, bottom - top])
        return shapes.rectangle(center, size, degrees)
    x, y, radius_x, radius_y = _numbers(element, "cx cy rx ry", where)
    return shapes.ellipse(np.array([x, y]), 2 * np.array([radius_x, radius_y]), degrees)


def _runs(element: Element, where: str) -> shapes.Runs:
    counts = shapes.numbers(_attribute(element, "rle", where).split(","), where).astype(np.int64)
    left, top, width, height = _numbers(element, "left top width height", where).astype(int).tolist()
    return shapes.Runs(counts, left, top, width, height, by_column=False)
