"""CVAT for images, XML 1.1. Source: https://docs.cvat.ai/docs/dataset_management/formats/xml_format/."""

from collections import Counter
from pathlib import Path
from xml.etree.ElementTree import Element

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
        image = shapes.AnnotatedImage(name, size, [], file, entry.get("subset", ""))
        for place, drawn in enumerate(entry):
            where = f"{file}: {drawn.tag} {place + 1} of {name}"
            if drawn.tag in ("polygon", "box", "ellipse", "mask"):
                label = _attribute(drawn, "label", where)
                image.shapes.append(shapes.Shape(label, where, _area(drawn, where)))
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


def _area(element: Element, where: str) -> list[shapes.Points] | shapes.Runs:
    if element.tag == "polygon":
        points = _attribute(element, "points", where)
        return [shapes.polygon([pair.split(",") for pair in points.strip().split(";")], where)]
    if element.tag == "mask":
        counts = shapes.numbers(_attribute(element, "rle", where).split(","), where)
        left, top, width, height = _numbers(element, "left top width height", where).astype(int).tolist()
        return shapes.Runs(counts, left, top, width, height, by_column=False)
    degrees = float(shapes.numbers(element.get("rotation", "0"), where))
    if element.tag == "box":
        first, last = _numbers(element, "xtl ytl xbr ybr", where).reshape(2, 2)
        return [shapes.placed(shapes.SQUARE, (first + last) / 2, last - first, degrees)]
    center, radii = _numbers(element, "cx cy rx ry", where).reshape(2, 2)
    return [shapes.placed(shapes.CIRCLE, center, 2 * radii, degrees)]
