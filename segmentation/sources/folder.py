"""A person's own images and masks, brought into the layout of `common/dataset_layout.py`.

    images/        images of any format
    masks/         lossless images; see `data.folder.mask_threshold`. Or:
    trimaps/       1 foreground, 2 background, 3 border, as in Oxford-IIIT Pet
    trainval.txt   optional, together with test.txt: one image a line, with or without its suffix
    test.txt
    groups.csv     optional, with the columns id and group: for tables of scores

An image and its mask have the same name but for the suffix, in the same subfolder if there are any; the image
in images/more/a.jpg has the id more__a. Files that are no images are passed over. trimaps/ and the lists may
also be in annotations/, so that an unpacked Oxford-IIIT Pet is such a folder too.
"""

import os
import shutil
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from segmentation.common import dataset_layout as layout
from segmentation.common.cores import usable_cores
from segmentation.common.errors import InputError
from segmentation.common.files import visible_files
from segmentation.common.image_io import is_image_file
from segmentation.sources.groups import own_groups
from segmentation.sources.own_files import Remark, Rules, write_image, write_trimap

Files = dict[Remark, dict[Path, int]]  # to which each remark applies, with its value
MAX_BYTES = 250  # of an id, which becomes the name of a file with a suffix
WINDOWS_FILES = {"Thumbs.db", "desktop.ini"}  # of its file manager: not worth a line


def write_folder(folder: Path, path: Path, rules: Rules) -> tuple[list[str], list[dict[str, str]]]:
    """Write the images of `path` into the existing, empty `folder`, their masks as trimaps.

    Returns lines that say what was found, and the groups in groups.csv. An image without a mask, a mask
    without an image and what does not decode are listed all the same: the split names them. Raises
    `InputError` if a part of `path` is missing or ambiguous.
    """
    images, other_files = _images_by_id(path / "images")
    masks_dir, trimaps_dir = path / "masks", _locate(path, "trimaps")
    if masks_dir.is_dir() == trimaps_dir.is_dir():
        raise InputError(f"{path}: needs exactly one of the folders masks/ and trimaps/ besides images/")
    masks, others = _images_by_id(masks_dir if masks_dir.is_dir() else trimaps_dir)
    if not images.keys() & masks.keys():
        raise InputError(
            f"{next(iter(images.values()))}: no image has a mask of the same name; the first mask is"
            f" {next(iter(masks.values()))}"
        )
    ids = sorted(images.keys() | masks.keys())
    lists, groups = _lists(path, ids), own_groups(path, set(ids))
    (folder / layout.IMAGES).mkdir()
    (folder / layout.TRIMAPS).mkdir(parents=True)

    def write_pair(image_id: str) -> dict[Path, dict[Remark, int]]:
        image, mask = images.get(image_id), masks.get(image_id)
        remarks = {}
        try:
            if image:
                remarks[image] = write_image(image, layout.image_path(folder, image_id), mask, rules)
            if mask and masks_dir.is_dir():
                remarks[mask] = write_trimap(mask, layout.trimap_path(folder, image_id), rules)
            elif mask:
                shutil.copyfile(mask, layout.trimap_path(folder, image_id))
        except OSError as error:
            if str(error.filename) in (str(image), str(mask)):
                raise _unreadable(error) from None
            raise
        return remarks

    files: Files = {remark: {} for remark in Remark}
    with ThreadPoolExecutor(usable_cores()) as pool:
        for pair in tqdm(pool.map(write_pair, ids), "images and masks", len(ids), disable=None):
            for file, remarks in pair.items():
                for remark, value in remarks.items():
                    files[remark][file] = value
    listed = {images.get(image_id) for members in lists.values() for image_id in members}
    _refuse_ambiguous(files, listed, rules)
    for name, members in ({layout.LIST: ids} | lists).items():
        (folder / name).write_text("".join(f"{image_id} 1 1 1\n" for image_id in members), encoding="utf-8")
    lines = [
        f"{len(images)} images, {len(masks)} masks",
        _count("warning: images without a mask", [images[name] for name in images.keys() - masks.keys()]),
        _count("warning: masks without an image", [masks[name] for name in masks.keys() - images.keys()]),
        _count("files that are no images, passed over", other_files + others),
        *_remarks(files, rules),
    ]
    return [line for line in lines if line], groups


def _count(what: str, files: Collection[Path], note: str = "") -> str:
    """Return the line that says how many files there are of a kind, and the first; empty without files."""
    return f"{what}: {len(files)}, the first {min(files)}{note}" if files else ""


def _unreadable(error: OSError) -> InputError:
    return InputError(f"{error.filename}: cannot be read ({error.strerror}); check data.folder.path")


def _refuse_ambiguous(files: Files, listed: set[Path | None], rules: Rules) -> None:
    """Raise `InputError` if `rules` must first say which way up, or how bright, a listed image is."""
    undecided, deep = (
        {image: value for image, value in files[remark].items() if image in listed}
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
        raise InputError(
            f"{next(iter(deep))}: has more than 8 bits per channel ({len(deep)} such images; their largest"
            f" value is {max(deep.values())}); set data.folder.white to the value that becomes 255"
        )


def _remarks(files: Files, rules: Rules) -> list[str]:
    """Return a line for each remark that applies to some of the files."""
    becomes = f"data.folder.white = {rules.white} becomes 255"
    threshold = rules.mask_threshold
    rule = "any value but 0" if threshold is None else f"a value of at least {threshold:g}"
    largest = max(files[Remark.DEEP_GREY].values(), default=0)
    white_fits = rules.white is not None and rules.white / 4 <= largest <= rules.white
    notes = {
        Remark.TURNED: "",
        Remark.DEEP_GREY: f"; largest value {largest}, {becomes}",
        Remark.DEEP_COLOR: f"; {becomes}",
        Remark.REDUCED: "; if they look black, set data.folder.white to the value that becomes 255",
        Remark.SHADED: f"; foreground is {rule} (data.folder.mask_threshold)",
        Remark.INDEXED: "; the numbers of the colours are their values, and 0 is background",
        Remark.FAINT: f"; no value reaches data.folder.mask_threshold = {threshold}",
    }
    lines = {remark: _count(remark.value, files[remark], note) for remark, note in notes.items()}
    if lines[Remark.DEEP_GREY] and not white_fits:
        lines[Remark.DEEP_GREY] = f"warning: {lines[Remark.DEEP_GREY]}"
    return list(lines.values())


def _locate(path: Path, name: str) -> Path:
    """Return where `name` of an own folder is: in the folder itself, or in its annotations/."""
    return path / name if (path / name).exists() else path / "annotations" / name


def _images_by_id(folder: Path) -> tuple[dict[str, Path], list[Path]]:
    """Return the images of a folder and its subfolders by id, and the visible files that are no images."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; put your files there, or set data.folder.path")
    try:
        files = [file for file in visible_files(folder) if file.name not in WINDOWS_FILES]
    except OSError as error:
        raise _unreadable(error) from None
    images: dict[str, Path] = {}
    others = []
    for file in files:
        if not is_image_file(file):
            others.append(file)
            continue
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
    if not images:
        raise InputError(f"{folder}: contains no images")
    return images, others


def _lists(path: Path, ids: list[str]) -> dict[Path, list[str]]:
    """Return what trains and what tests, if the folder says so, or else all ids."""
    files = {name: _locate(path, name.name) for name in (layout.TRAINVAL, layout.TEST)}
    given = [file.is_file() for file in files.values()]
    if any(given) != all(given):
        raise InputError(f"{path}: needs both trainval.txt and test.txt, or neither")
    if not any(given):
        return {layout.LIST: ids}
    known = set(ids)
    return {name: layout.read_list(file, known) for name, file in files.items()}
