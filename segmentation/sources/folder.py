"""A person's own images and masks, brought into the layout of `common/dataset_layout.py`.

`data/folder/README.md` says what it holds: images/, and masks/, trimaps/ or one of the exports that
`annotations/find.py` knows. The image in images/more/a.jpg has the id more__a. trimaps/ and the lists may
also be in annotations/, so that an unpacked Oxford-IIIT Pet is such a folder too.
"""

import shutil
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from segmentation.common import dataset_layout as layout
from segmentation.common.cores import usable_cores
from segmentation.common.errors import InputError
from segmentation.common.image_io import image_size
from segmentation.common.progress import progress
from segmentation.params import Folder
from segmentation.sources.annotations.find import MASKS, TRIMAPS, locate
from segmentation.sources.annotations.shapes import AnnotatedImage
from segmentation.sources.groups import own_groups
from segmentation.sources.own_files import Remark, write_image
from segmentation.sources.own_labels import OwnLabels, count, listed, read_labels, refuse_unknown
from segmentation.sources.own_masks import write_annotated, write_mask

Files = dict[Remark, dict[Path, int]]  # to which each remark applies, with its value


def write_folder(folder: Path, path: Path, rules: Folder) -> tuple[list[str], list[dict[str, str]]]:
    """Write the images of `path` into the existing, empty `folder`, their masks as trimaps.

    Returns lines that say what was found, and the groups in groups.csv. An image without a mask, a mask
    without an image and what does not decode are listed all the same: the split names them. Raises
    `InputError` if a part of `path` is missing or ambiguous.
    """
    classes = [str(name) for name in rules.classes or []]
    own = read_labels(path, rules, classes)
    images, labels = own.images, own.labels
    if own.format == MASKS:  # colours, in any case
        classes = [name.lower() for name in classes]
    wanted = [own.colors.get(name, name) for name in classes or own.colors]
    ids = sorted(images.keys() | labels.keys())
    lists, groups = _lists(path, ids), own_groups(path, set(ids))
    (folder / layout.IMAGES).mkdir()
    (folder / layout.TRIMAPS).mkdir(parents=True)

    def write_pair(image_id: str) -> tuple[dict[Path, dict[Remark, int]], set[str]]:
        image, label = images.get(image_id), labels.get(image_id)
        to_image, to_trimap = layout.image_path(folder, image_id), layout.trimap_path(folder, image_id)
        remarks, held = dict[Path, dict[Remark, int]](), set[str]()
        if isinstance(label, AnnotatedImage):
            image = images[image_id]
            remarks[image] = write_annotated(image, label, to_image, to_trimap, rules, classes)
            return remarks, held
        if image:
            size = None
            with suppress(InputError):  # a mask that cannot be read is left to the split
                size = image_size(label) if label else None
            remarks[image] = write_image(image, to_image, size, rules)
        if label and own.format == TRIMAPS:
            shutil.copyfile(label, to_trimap)
        elif label:
            remarks[label], held = write_mask(label, to_trimap, rules.mask_threshold, wanted)
        return remarks, held

    files: Files = {remark: {} for remark in Remark}
    found: Counter[str] = Counter()  # masks that hold each value or colour
    try:
        with ThreadPoolExecutor(usable_cores()) as pool:
            for pair, held in progress(pool.map(write_pair, ids), "images and masks", len(ids)):
                found.update(held)
                for file, remarks in pair.items():
                    for remark, value in remarks.items():
                        files[remark][file] = value
    except OSError as error:
        if Path(error.filename or "").is_relative_to(path):
            raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from None
        raise
    in_lists = {images.get(image_id) for members in lists.values() for image_id in members}
    _refuse_ambiguous(files, in_lists, rules)
    for name, members in ({layout.LIST: ids} | lists).items():
        (folder / name).write_text("".join(f"{image_id} 1 1 1\n" for image_id in members), encoding="utf-8")
    lines = [*own.said, *_classes(own, found, classes), *_remarks(files, rules)]
    return [line for line in lines if line], groups


def _classes(own: OwnLabels, found: Counter[str], classes: Sequence[str]) -> list[str]:
    """Return the lines about masks of several classes, by how many masks each value or colour was `found` in.

    Raises `InputError` for one of the `classes` that is in none.
    """
    if not found:
        return []
    counts = {name: found[color] for name, color in own.colors.items()} or dict(sorted(found.items()))
    refuse_unknown(classes, counts, "masks")
    if own.colors and not any(counts.values()):
        raise InputError("no mask of SegmentationClass/ has a colour of its classes; is labelmap.txt theirs?")
    present = {name: number for name, number in counts.items() if number}
    lines = [f"masks by class: {listed(present)}; foreground: {', '.join(classes or ['all of them'])}"]
    strange = {name for name in found if name[0] == "#"} - own.known_colors
    if own.colors and strange:
        unknown = f"{len(strange)}, such as {min(strange)}"
        lines.append(f"warning: colours of no class, taken for background: {unknown}")
    return lines


def _refuse_ambiguous(files: Files, in_lists: set[Path | None], rules: Folder) -> None:
    """Raise `InputError` if `rules` must first say which way up, or how bright, a listed image is."""
    undecided, deep = (
        {image: value for image, value in files[remark].items() if image in in_lists}
        for remark in (Remark.UNDECIDED, Remark.DEEP_GREY)
    )
    if undecided:
        image, orientation = next(iter(undecided.items()))
        raise InputError(
            f"{image}: its EXIF orientation ({orientation}) turns it, and its mask fits"
            f" both ways ({len(undecided)} such images); set data.folder.orientation to upright, or to stored"
            " if the masks were drawn on the pixels as they are stored"
        )
    if deep and rules.white is None:
        facts = f"({len(deep)} such images; their largest value is {max(deep.values())})"
        remedy = "set data.folder.white to the value that becomes 255"
        raise InputError(f"{next(iter(deep))}: has more than 8 bits per channel {facts}; {remedy}")


def _remarks(files: Files, rules: Folder) -> list[str]:
    """Return a line for each remark that applies to some of the files."""
    threshold = rules.mask_threshold
    facts = {
        "becomes": f"data.folder.white = {rules.white} becomes 255",
        "largest": max(files[Remark.DEEP_GREY].values(), default=0),
        "threshold": threshold,
        "rule": "any value but 0" if threshold is None else f"a value of at least {threshold:g}",
    }
    notes = {remark: remark.value[1].format(**facts) for remark in Remark}
    return [count(remark.value[0], files[remark], note) for remark, note in notes.items()]


def _lists(path: Path, ids: list[str]) -> dict[Path, list[str]]:
    """Return what trains and what tests, if the folder says so, or else all ids."""
    files = {name: locate(path, name.name) for name in (layout.TRAINVAL, layout.TEST)}
    given = [file.is_file() for file in files.values()]
    if any(given) != all(given):
        raise InputError(f"{path}: needs both trainval.txt and test.txt, or neither")
    if not any(given):
        return {layout.LIST: ids}
    return {name: layout.read_list(file, set(ids)) for name, file in files.items()}
