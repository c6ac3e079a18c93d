"""Which one of the formats of labels a person's folder holds, and the content of its JSON and XML files."""

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import ParseError

import defusedxml.ElementTree
import numpy as np

from segmentation.common.errors import InputError
from segmentation.common.files import visible_files
from segmentation.sources.annotations import coco, cvat, labelme
from segmentation.sources.annotations.shapes import Reading

READERS: dict[str, Callable[[Path, Any], Reading]] = {
    "COCO JSON": coco.read,
    "LabelMe JSON": labelme.read,
    "CVAT XML": cvat.read,
}
MASKS, TRIMAPS, VOC = "masks/", "trimaps/", "VOC"
LOOKED_FOR = "a COCO JSON, LabelMe JSON files, a CVAT XML, or VOC's folder SegmentationClass/"
UNUSED = ("imageData", "bbox", "area", "keypoints", "attributes", "mask")  # of images and annotations; large
OF_EXPORTS = (b"<annotations", b'"annotations"', b'"images"', b'"shapes"', b'"imagePath"')  # if broken, too


class Labels(NamedTuple):
    """The labels of a person's folder: their format, and the folder or the files that hold them."""

    format: str  # a key of READERS, MASKS, TRIMAPS or VOC
    folder: Path
    contents: dict[Path, Any]  # of the files
    broken: Collection[Path] = ()  # JSON files beside them that are of something else


def find_labels(path: Path) -> Labels:
    """Return the labels in the folder `path`; raises `InputError` unless they are of exactly one format.

    Beside masks/ or trimaps/, what lies within these and images/ is not looked at.
    """
    if not path.is_dir():
        raise InputError(
            f"{path}: no such folder; set data.folder.path to one, unpacked, of images and labels"
        )
    places = {MASKS: path / "masks", TRIMAPS: locate(path, "trimaps")}
    labels_by_format = {name: Labels(name, place, {}) for name, place in places.items() if place.is_dir()}
    has_masks = bool(labels_by_format)
    if has_masks:  # of other labels, those in their usual places
        usual = [*path.iterdir(), *path.glob("annotations/*"), *path.glob("SegmentationClass/**/*")]
        candidates = sorted(file for file in usual if file.is_file() and not file.name.startswith("."))
    else:
        candidates = visible_files(path)
    broken: dict[Path, Exception] = {}
    for file in candidates:
        classes = (folder for folder in file.parents if folder.name == "SegmentationClass")
        if (place := next(classes, None)) and place.is_relative_to(path):
            first = labels_by_format.setdefault(VOC, Labels(VOC, place, {})).folder
            if first != place:
                raise InputError(f"{path}: holds {first} and {place}; put their files into one folder")
            continue
        try:
            name, content = _recognise(file)
        except (InputError, OSError) as error:
            name, broken[file] = "", error
        if name:
            labels_by_format.setdefault(name, Labels(name, path, {})).contents[file] = content
    # The parts of an export have one name in several folders, or those of their images.
    stems = {file.stem for file in candidates if file not in broken}
    for file, reason in broken.items() if not has_masks else ():
        text = file.read_bytes()
        if not labels_by_format or not text or file.stem in stems or any(key in text for key in OF_EXPORTS):
            raise reason
    if len(labels_by_format) != 1:
        there = [f"{name} ({next(iter(own.contents), own.folder)})" for name, own in labels_by_format.items()]
        needs = f"needs exactly one of the folders masks/ and trimaps/ besides images/, or else {LOOKED_FOR}"
        remedy = "; move one of them out of the folder" if there else ""
        raise InputError(f"{path}: {needs}; there is {' and '.join(there) or 'none'}{remedy}")
    return next(iter(labels_by_format.values()))._replace(broken=broken)


def locate(path: Path, name: str) -> Path:
    """Return where `name` of an own folder is: in the folder itself, or in its annotations/."""
    return path / name if (path / name).exists() else path / "annotations" / name


def _recognise(file: Path) -> tuple[str, Any]:
    """Return the format, empty if it is none of ours, and content of a file; `InputError` if it is broken."""
    if file.suffix.lower() == ".json":
        content = _read_json(file)
        if coco.is_format(content):
            return "COCO JSON", content
        if labelme.is_format(content):
            return "LabelMe JSON", content
    elif file.suffix.lower() == ".xml":
        with file.open("rb") as opened:
            start = opened.read(65_536)
        if b"<annotations" in start:  # VOC's, as Oxford-IIIT Pet has them, have `<annotation>`
            try:
                return "CVAT XML", defusedxml.ElementTree.parse(file).getroot()
            except (ParseError, LookupError, ValueError) as error:  # broken, another encoding, or entities
                raise InputError(f"{file}: not usable as XML ({error}); export it again as UTF-8") from None
    return "", None


def _read_json(path: Path) -> Any:
    """Return what a JSON file holds, without `UNUSED`; lists of coordinates and of counts are arrays.

    Only so do 200 MB of them fit into 2 GiB. Raises `InputError` for broken JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), object_hook=_compact)
    except (RecursionError, ValueError) as error:  # broken, thousands of brackets, or another encoding
        raise InputError(f"{path}: not usable as JSON in UTF-8 ({error}); export it again") from None


def _compact(entry: dict[str, Any]) -> dict[str, Any]:
    for key in UNUSED:
        entry.pop(key, None)
    if isinstance(entry.get("segmentation"), list):
        entry["segmentation"] = [_array(part) for part in entry["segmentation"]]
    if isinstance(entry.get("counts"), list):
        entry["counts"] = _array(entry["counts"])
    return entry


def _array(values: Any) -> Any:
    try:
        return np.array(values, np.float64)
    except (TypeError, ValueError, OverflowError):  # named by who knows where it stands
        return values
