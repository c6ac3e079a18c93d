"""The images of a person's folder, and what labels each: a mask, or shapes that an export holds."""

import difflib
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence, Set
from pathlib import Path
from typing import NamedTuple

from segmentation.common import dataset_layout as layout
from segmentation.common.errors import InputError
from segmentation.common.files import visible_files
from segmentation.common.image_io import is_image_file
from segmentation.params import Folder
from segmentation.sources.annotations import find, voc
from segmentation.sources.annotations.find import Labels, find_labels
from segmentation.sources.annotations.matching import match
from segmentation.sources.annotations.shapes import AnnotatedImage

MAX_BYTES = 250  # of an id, which becomes the name of a file with a suffix
KEY = "data.folder.classes"  # which of them are foreground
SHOWN = 20  # of these, in a line
SUFFIXES = ("_mask", "_seg", "-mask", "_label", "_annotation")  # of masks, before that of the file


class OwnLabels(NamedTuple):
    """The images and labels of a folder, by id; the labels' format, and what was found, in lines."""

    format: str  # as `Labels` have it
    images: dict[str, Path]
    labels: Mapping[str, Path | AnnotatedImage]
    colors: dict[str, str]  # of VOC's masks: that of each class
    said: list[str]
    known_colors: Set[str] = frozenset()  # and those of no class


def read_labels(path: Path, rules: Folder, classes: Sequence[str]) -> OwnLabels:
    """Find the images and labels of the folder `path`; `classes` are foreground, all if there are none.

    Raises `InputError` if a part is missing or ambiguous, and for classes that are not there.
    """
    labels = find_labels(path)
    if rules.mask_threshold is not None and labels.format not in (find.MASKS, find.TRIMAPS):
        problem = f"is for masks/, not for {labels.format}; set it to null"
        raise InputError(f"data.folder.mask_threshold: {problem}")
    if labels.format in find.READERS:
        return _of_annotations(path, labels, classes)
    if labels.format == find.TRIMAPS and classes:
        raise InputError(f"{KEY}: {labels.folder} has parts (data.foreground), no classes; set it to null")
    folder, colors, known_colors, warning = path / "images", dict[str, str](), set[str](), "warning: "
    if labels.format == find.VOC:  # of whose images only some have masks
        (colors, known_colors), warning = voc.read_colors(labels.folder), ""
        places = (labels.folder.parent / "JPEGImages", folder)
        folder = next((place for place in places if place.is_dir()), path)
    images, others = _images_by_id(folder, without=labels.folder)
    masks, other_masks = _images_by_id(labels.folder)
    renamed = ""
    if not images.keys() & masks.keys():
        masks, renamed = _renamed(masks, images, folder)
    if not (both := images.keys() & masks.keys()):
        image, mask = (next(iter(files.values())) for files in (images, masks))
        raise InputError(f"{image}: no image has a mask of the same name; the first mask is {mask}")
    said = [
        f"{len(images)} images, {len(masks)} masks",
        count(f"{warning}images without a mask", [images[name] for name in images.keys() - both]),
        count(f"{warning}masks without an image", [masks[name] for name in masks.keys() - both]),
        count("files that are no images, passed over", others + other_masks),
        count("broken files, passed over", labels.broken),
        renamed,
    ]
    if labels.format == find.VOC:
        images, masks = ({name: files[name] for name in both} for files in (images, masks))
    return OwnLabels(labels.format, images, masks, colors, said, known_colors)


def count(what: str, files: Collection[Path], note: str = "") -> str:
    """Return the line that says how many files there are of a kind, and the first; empty without files."""
    return f"{what}: {len(files)}, the first {min(files)}{note}" if files else ""


def _renamed(masks: dict[str, Path], images: dict[str, Path], folder: Path) -> tuple[dict[str, Path], str]:
    """Return masks by the ids of their images, where all have one suffix more, and the line that says so."""
    for suffix in SUFFIXES:
        if all(mask_id.endswith(suffix) for mask_id in masks):
            renamed = {mask_id.removesuffix(suffix): file for mask_id, file in masks.items()}
            return renamed, f"masks are named like their images, with {suffix} after it"
    with_suffix = {
        layout.file_id(file.relative_to(folder).with_name(f"{file.name}.png")): image_id
        for image_id, file in images.items()
    }
    renamed = {with_suffix.get(mask_id, mask_id): file for mask_id, file in masks.items()}
    return renamed, "masks are named like their images, with .png after the suffix"


def _of_annotations(path: Path, labels: Labels, classes: Sequence[str]) -> OwnLabels:
    files = [file for file in visible_files(path) if file not in labels.contents and is_image_file(file)]
    readings = [find.READERS[labels.format](file, content) for file, content in labels.contents.items()]
    listed_images = [image for reading in readings for image in reading.images]
    # COCO's person_keypoints_*.json has some of the areas in the instances_*.json beside it.
    instances = {image.name for image in listed_images if not image.keypoints}
    named = [image for image in listed_images if not image.keypoints or image.name not in instances]
    matched, absent, moved = match(named, files, path)
    if named and not matched:
        problem = f"none of its {len(named)} images is in {path}, such as {named[0].name!r}"
        raise InputError(f"{named[0].file}: {problem}; put them beside it, or into images/")
    counts = Counter({name: 0 for reading in readings for name in reading.classes})
    counts.update(shape.label for image in matched.values() for shape in image.shapes)
    if not counts.total():
        raise InputError(f"{min(labels.contents)}: labels no area in the images of {path}")
    refuse_unknown(classes, counts, "annotations")
    skipped = sum((reading.skipped for reading in readings), Counter[str]())
    passed = [f"{number} {what}" for what, number in skipped.items()]
    if copies := len(listed_images) - len(named):
        passed.append(f"{copies} images of keypoints that another file labels")
    if absent:
        passed.append(f"{len(absent)} images that are not there, the first {absent[0].name!r}")
    if unnamed := [file for file in files if file not in matched]:
        passed.append(f"{len(unnamed)} images without annotations, the first {min(unnamed)}")
    by_class = ", ".join(f"{name} {number}" for name, number in counts.most_common())
    said = (
        f"{labels.format}: {len(matched)} images, {counts.total()} annotations ({by_class});"
        f" foreground: {', '.join(classes or ['all of them'])};"
        f" skipped: {', '.join(passed) or 'nothing'}"
    )
    if moved:
        said += f"; in other folders than named: {len(moved)} images, the first {moved[0].name!r}"
    inside = all((path / "images") in file.parents for file in matched)
    images = _by_id(path / "images" if inside else path, matched)
    annotated = {image_id: matched[file] for image_id, file in images.items()}
    return OwnLabels(
        labels.format, images, annotated, {}, [said, count("broken files, passed over", labels.broken)]
    )


def _images_by_id(folder: Path, without: Path | None = None) -> tuple[dict[str, Path], list[Path]]:
    """Return the images of a folder and its subfolders by id, and the visible files that are no images."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; put your files there, or set data.folder.path")
    files = [file for file in visible_files(folder) if without not in file.parents]
    images = [file for file in files if is_image_file(file)]
    if not images:
        raise InputError(f"{folder}: contains no images")
    return _by_id(folder, images), sorted(set(files).difference(images))


def _by_id(folder: Path, files: Collection[Path]) -> dict[str, Path]:
    """Return the images of a folder by id; raises `InputError` for names that cannot be one."""
    images: dict[str, Path] = {}
    for file in files:
        path = file.relative_to(folder)
        image_id = layout.file_id(path)
        if len(os.fsencode(image_id)) > MAX_BYTES:
            raise InputError(f"{folder}: {str(path)!r} is too long for the name of a file; shorten it")
        if not layout.is_plain(image_id):
            raise InputError(f"{folder}: {str(path)!r} cannot be written in a list; rename it")
        if image_id in images:
            first = str(images[image_id].relative_to(folder))
            raise InputError(f"{folder}: {first!a} and {str(path)!a} would have one name; rename one")
        images[image_id] = file
    return images


def refuse_unknown(classes: Sequence[str], counts: Mapping[str, int], what: str) -> None:
    """Raise `InputError` for one of the `classes` that none of `what`, such as masks, has by the `counts`."""
    there = f"{what} by class: {listed(counts)}"
    for name in classes:
        if name not in counts:
            close = difflib.get_close_matches(name, counts, 1)
            hint = f", did you mean {close[0]!r}?" if close else ""
            raise InputError(f"{KEY}: no class {name!r}{hint}; {there}")
        if counts[name] == 0:
            raise InputError(f"{KEY}: the class {name!r} labels nothing; {there}")


def listed(counts: Mapping[str, int]) -> str:
    """Return the first of the classes with their counts."""
    names = [f"{name} ({number})" for name, number in counts.items()]
    more = f" and {len(names) - SHOWN} more" * (len(names) > SHOWN)
    return f"{', '.join(names[:SHOWN]) or 'none'}{more}"
