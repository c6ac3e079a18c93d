"""COCO JSON: polygons and run-length encodings. Source: https://cocodataset.org/#format-data."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.common.errors import InputError
from segmentation.sources.annotations import shapes


def is_format(content: Any) -> bool:
    """Whether the content of a JSON file is that of COCO."""
    return isinstance(content, dict) and all(
        isinstance(content.get(key), list) for key in ("images", "annotations")
    )


def read(file: Path, content: Any) -> shapes.Reading:
    """Return the images of `file`, whose `content` `is_format`. A crowd (`iscrowd`) is an area like others.

    Raises `InputError` for what is not COCO, and for shapes that cannot be used.
    """
    names: dict[str, str] = {}
    categories = content.get("categories") or []
    if not isinstance(categories, list):
        raise InputError(f"{file}: its categories are no list; export it again")
    for place, entry in enumerate(categories):
        category = _get(entry, "id", f"{file}: categories[{place}]")
        name = str(entry.get("name"))
        if names.setdefault(category, name) != name:
            raise InputError(f"{file}: the category id {category} is that of {names[category]} and {name}")
    keypoints = any(entry.get("skeleton") for entry in categories)
    images: dict[str, shapes.AnnotatedImage] = {}
    for place, entry in enumerate(content["images"]):
        where = f"{file}: images[{place}]"
        image_id, name = _get(entry, "id", where), _get(entry, "file_name", where)
        size = shapes.image_size(entry.get("width"), entry.get("height"), f"{where} ({name})")
        if image_id in images:
            raise InputError(f"{where}: the id {image_id} is also that of {images[image_id].name}")
        images[image_id] = shapes.AnnotatedImage(name, size, [], file, keypoints=keypoints)
    skipped: Counter[str] = Counter()
    for place, entry in enumerate(content["annotations"]):
        image = images.get(_get(entry, "image_id", f"{file}: annotations[{place}]"))
        area = entry.get("segmentation")
        if image is None:
            skipped["annotations of images that are not listed"] += 1
        elif not area:
            skipped["annotations without an area (boxes, keypoints)"] += 1
        else:
            where = f"{file}: annotation {entry.get('id', place)} of {image.name}"
            category = _get(entry, "category_id", where) if "category_id" in entry else "without a class"
            label = names.get(category, category)
            image.shapes.append(shapes.Shape(label, where, _area(area, where)))
    if skipped and not any(image.shapes for image in images.values()):  # captions, or boxes
        return shapes.Reading([], [], Counter({f"file that labels no area ({file.name})": 1}))
    return shapes.Reading(list(images.values()), list(names.values()), skipped)


def _get(entry: Any, key: str, where: str) -> str:
    """Return a text or whole number that must be there."""
    value = entry.get(key) if isinstance(entry, dict) else None
    if isinstance(value, float) and value.is_integer():  # so some tools write ids
        value = int(value)
    if not isinstance(value, str | int):
        raise InputError(f"{where} has no {key}; export it again")
    return str(value)


def _area(area: Any, where: str) -> list[shapes.Points] | shapes.Runs:
    if isinstance(area, list):
        return [shapes.polygon(part, where) for part in area]
    if not isinstance(area, dict):
        raise InputError(f"{where}: its segmentation is neither a list of polygons nor an RLE")
    lengths, counts = area.get("size"), area.get("counts")
    height, width = lengths if isinstance(lengths, list) and len(lengths) == 2 else (None, None)
    if (size := shapes.image_size(width, height, where)) is None:
        raise InputError(f"{where}: its RLE has no size; export it again")
    runs = decompress(counts, where) if isinstance(counts, str) else shapes.numbers(counts, where).ravel()
    return shapes.Runs(runs, 0, 0, *size, by_column=True)


def decompress(text: str, where: str) -> NDArray[np.int64]:
    """Return the counts of a compressed RLE.

    A number is digits of five bits, the lowest first, in characters from `0` on; the sixth bit says that
    another digit follows, the fifth of the last one is the sign. From the fourth number on, it is the
    difference to the last but one. Raises `InputError` for anything else. `pycocotools` decodes the same,
    but unchecked: a wrong text shows what happens to be in memory.
    Source: rleFrString, https://github.com/cocodataset/cocoapi/blob/master/common/maskApi.c.
    """
    digits = np.frombuffer(text.encode("latin-1", "replace"), np.uint8).astype(np.int64) - 48
    last = np.flatnonzero((digits & 32) == 0)
    starts = np.concatenate([[0], last[:-1] + 1]).astype(np.int64)
    lengths = last - starts + 1
    wrong = not text or len(last) == 0 or last[-1] != len(digits) - 1
    if wrong or lengths.max() > 7 or digits.min() < 0 or digits.max() > 63:
        raise InputError(f"{where}: its compressed RLE is broken; export it again")
    shifts = 5 * (np.arange(len(digits)) - np.repeat(starts, lengths))
    values = np.add.reduceat((digits & 31) << shifts, starts)
    values -= np.where(digits[last] & 16, np.int64(1) << 5 * lengths, 0)
    for first in (1, 2):
        values[first::2] = np.cumsum(values[first::2])
    return values
