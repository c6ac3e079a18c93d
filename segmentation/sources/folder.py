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

import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from segmentation.common import dataset_layout as layout
from segmentation.common.cores import usable_cores
from segmentation.common.errors import InputError
from segmentation.common.files import visible_files
from segmentation.common.image_io import is_image_file
from segmentation.sources.groups import own_groups
from segmentation.sources.own_files import FileTraits, Rules, write_image, write_trimap

WINDOWS_FILES = {"Thumbs.db", "desktop.ini"}  # of its file manager: not worth a line


def write_folder(folder: Path, path: Path, rules: Rules) -> tuple[list[str], list[dict[str, str]]]:
    """Write the images of `path` into the existing, empty `folder`, their masks as trimaps.

    Returns lines that say what was found, and the groups in groups.csv. An image without a mask, a mask
    without an image and what does not decode are listed all the same: the split names them. Raises
    `InputError` if a part of `path` is missing or ambiguous.
    """
    images, other_files = _images_by_id(path / "images")
    masks_dir, trimaps_dir = path / "masks", _in_annotations_or(path, "trimaps")
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

    def write_pair(image_id: str) -> dict[Path, FileTraits]:
        image, mask = images.get(image_id), masks.get(image_id)
        written = {}
        try:
            if image:
                written[image] = write_image(image, layout.image_path(folder, image_id), mask, rules)
            if mask and masks_dir.is_dir():
                written[mask] = write_trimap(mask, layout.trimap_path(folder, image_id), rules)
            elif mask:
                shutil.copyfile(mask, layout.trimap_path(folder, image_id))
        except OSError as error:
            if str(error.filename) in (str(image), str(mask)):
                raise _unreadable(error) from None
            raise
        return written

    traits: dict[Path, FileTraits] = {}
    with ThreadPoolExecutor(usable_cores()) as pool:
        for written in tqdm(pool.map(write_pair, ids), "images and masks", len(ids), disable=None):
            traits |= written
    listed = sorted({image_id for members in lists.values() for image_id in members} & images.keys())
    _refuse_ambiguous({images[image_id]: traits[images[image_id]] for image_id in listed}, rules)
    for name, members in ({layout.LIST: ids} | lists).items():
        (folder / name).write_text("".join(f"{image_id} 1 1 1\n" for image_id in members), encoding="utf-8")
    kinds = [
        ("warning: images without a mask", [images[name] for name in images.keys() - masks.keys()], ""),
        ("warning: masks without an image", [masks[name] for name in masks.keys() - images.keys()], ""),
        ("files that are no images, passed over", other_files + others, ""),
        *_kinds_of_files(traits, rules),
    ]
    counts = [f"{kind}: {len(files)}, the first {min(files)}{note}" for kind, files, note in kinds if files]
    return [f"{len(images)} images, {len(masks)} masks", *counts], groups


def _unreadable(error: OSError) -> InputError:
    return InputError(f"{error.filename}: cannot be read ({error.strerror}); check data.folder.path")


def _refuse_ambiguous(traits: Mapping[Path, FileTraits], rules: Rules) -> None:
    """Raise `InputError` if `rules` must first say which way up, or how bright, an image is."""
    orientations = {image: found.undecided for image, found in traits.items() if found.undecided}
    for image, orientation in orientations.items():
        raise InputError(
            f"{image}: its EXIF orientation ({orientation}) turns it, and its mask fits"
            f" both ways ({len(orientations)} such images); set data.folder.orientation to upright, or to"
            " stored if the masks were drawn on the pixels as they are stored"
        )
    largest = {image: found.largest for image, found in traits.items() if found.largest is not None}
    if largest and rules.white is None:
        raise InputError(
            f"{next(iter(largest))}: has more than 8 bits per channel ({len(largest)} such images; their"
            f" largest value is {max(largest.values())}); set data.folder.white to the value that becomes 255"
        )


def _kinds_of_files(traits: Mapping[Path, FileTraits], rules: Rules) -> list[tuple[str, list[Path], str]]:
    """Return the kinds of files worth a line: what they are, those that there are, and a remark."""

    def files(condition: Callable[[FileTraits], bool]) -> list[Path]:
        return [file for file, found in traits.items() if condition(found)]

    largest = max((found.largest for found in traits.values() if found.largest is not None), default=0)
    fits = rules.white is not None and rules.white / 4 <= largest <= rules.white
    becomes = f"data.folder.white = {rules.white} becomes 255"
    threshold = rules.mask_threshold
    rule = "any value but 0" if threshold is None else f"a value of at least {threshold:g}"
    return [
        ("images brought upright by their EXIF orientation", files(lambda found: found.turned), ""),
        (
            f"{'' if fits else 'warning: '}grey images with more than 8 bits",
            files(lambda found: found.largest is not None),
            f"; largest value {largest}, {becomes}",
        ),
        (
            "colour images with 16 bits per channel"
            if rules.white
            else "warning: colour images with 16 bits per channel, reduced to their upper 8",
            files(lambda found: found.deep_color),
            f"; {becomes}"
            if rules.white
            else "; if they look black, set data.folder.white to the value that becomes 255",
        ),
        (
            "warning: masks with more than two values",
            files(lambda found: found.shaded),
            f"; foreground is {rule} (data.folder.mask_threshold)",
        ),
        (
            "masks with a coloured palette",
            files(lambda found: found.indexed),
            "; the numbers of the colours are their values, and 0 is background",
        ),
        (
            "warning: masks that count as empty",
            files(lambda found: found.faint),
            f"; no value reaches data.folder.mask_threshold = {threshold}",
        ),
    ]


def _in_annotations_or(path: Path, name: str) -> Path:
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
    files = {name: _in_annotations_or(path, name.name) for name in (layout.TRAINVAL, layout.TEST)}
    given = [file.is_file() for file in files.values()]
    if any(given) != all(given):
        raise InputError(f"{path}: needs both trainval.txt and test.txt, or neither")
    if not any(given):
        return {layout.LIST: ids}
    known = set(ids)
    return {name: layout.read_list(file, known) for name, file in files.items()}
