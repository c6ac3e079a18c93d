"""A person's own images and masks, brought into the layout of `common/dataset_layout.py`.

    images/        images of any format
    masks/         lossless images; see `data.folder.mask_threshold`. Or:
    trimaps/       1 foreground, 2 background, 3 border, as in Oxford-IIIT Pet
    trainval.txt   optional, together with test.txt: one image a line, with or without its suffix
    test.txt
    groups.csv     optional, with the columns id and group: for tables of scores

An image and its mask have the same name but for the suffix, in the same subfolder if there are any; the image
in images/more/a.jpg has the id more__a. Files that are no images are passed over. trimaps/ and the lists may
also lie in annotations/, so that an unpacked Oxford-IIIT Pet is such a folder too.
"""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from segmentation.common import dataset_layout as layout
from segmentation.common.cores import usable_cores
from segmentation.common.errors import InputError
from segmentation.common.files import visible_files
from segmentation.common.image_io import is_image_file
from segmentation.sources.groups import Row, own_groups
from segmentation.sources.own_files import Findings, Rules, mask_size, write_image, write_trimap

LITTER = {"Thumbs.db", "desktop.ini"}  # of Windows


def write_folder(folder: Path, path: Path, rules: Rules) -> tuple[list[str], list[Row]]:
    """Write the images of `path` into the existing, empty `folder`, their masks as trimaps.

    Returns lines that say what was found, and the groups in groups.csv. An image without a mask, a mask
    without an image and whatever does not decode are listed all the same: the split names them. Raises
    `InputError` if a part of `path` is missing or ambiguous.
    """
    images, others = _files(path / "images")
    masks, trimaps = path / "masks", _either(path, "trimaps")
    if masks.is_dir() == trimaps.is_dir():
        raise InputError(f"{path}: needs exactly one of the folders masks/ and trimaps/ besides images/")
    labels, other_labels = _files(masks if masks.is_dir() else trimaps)
    if not images.keys() & labels.keys():
        raise InputError(
            f"{next(iter(images.values()))}: no image has a mask of the same name; the first mask is"
            f" {next(iter(labels.values()))}"
        )
    ids = sorted(images.keys() | labels.keys())
    lists, groups = _lists(path, ids), own_groups(path, set(ids))
    (folder / layout.IMAGES).mkdir()
    (folder / layout.TRIMAPS).mkdir(parents=True)

    def write_pair(image_id: str) -> tuple[Findings, Findings]:
        image, label = images.get(image_id), labels.get(image_id)
        found = [Findings(), Findings()]
        try:
            if image:
                found[0] = write_image(image, layout.image_path(folder, image_id), mask_size(label), rules)
            if label and masks.is_dir():
                found[1] = write_trimap(label, layout.trimap_path(folder, image_id), rules)
            elif label:
                shutil.copyfile(label, layout.trimap_path(folder, image_id))
        except OSError as error:
            if str(error.filename) in (str(image), str(label)):
                raise _unreadable(error) from None
            raise
        return found[0], found[1]

    with ThreadPoolExecutor(usable_cores()) as pool:
        pairs = list(tqdm(pool.map(write_pair, ids), "images and masks", len(ids), disable=None))
    found = dict(zip(ids, pairs, strict=True))
    listed = {each for members in lists.values() for each in members}
    image_findings = {images[each]: image for each, (image, _) in found.items() if each in images}
    _refuse({image: each for image, each in image_findings.items() if image.stem in listed}, rules)
    for name, members in ({layout.LIST: ids} | lists).items():
        (folder / name).write_text("".join(f"{each} 1 1 1\n" for each in members), encoding="utf-8")
    mask_findings = {labels[each]: mask for each, (_, mask) in found.items() if each in labels}
    said = [
        f"{len(images)} images, {len(labels)} masks",
        *_counted("warning: images without a mask", [images[each] for each in images.keys() - labels.keys()]),
        *_counted(
            "warning: masks without an image", [labels[each] for each in labels.keys() - images.keys()]
        ),
        *_counted("files that are no images, passed over", others + other_labels),
        *_about_images(image_findings, rules),
        *_about_masks(mask_findings, rules),
    ]
    return said, groups


def _counted(what: str, files: list[Path], rest: str = "") -> list[str]:
    """Return the line that says how many files there are of a kind, and the first; none without files."""
    return [f"{what}: {len(files)}, the first {min(files)}{rest}"] if files else []


def _unreadable(error: OSError) -> InputError:
    return InputError(f"{error.filename}: cannot be read ({error.strerror}); check data.folder.path")


def _refuse(found: dict[Path, Findings], rules: Rules) -> None:
    """Raise `InputError` for images that nobody can read without being told how."""
    undecided = [image for image, each in found.items() if each.undecided]
    if undecided:
        first = undecided[0]
        raise InputError(
            f"{first}: its EXIF orientation ({found[first].undecided}) turns it, and its mask fits"
            f" both ways ({len(undecided)} such images); set data.folder.orientation to upright, or to stored"
            " if the masks were drawn on the pixels as they are stored"
        )
    deep = {image: each.largest for image, each in found.items() if each.largest is not None}
    if deep and rules.white is None:
        raise InputError(
            f"{next(iter(deep))}: has more than 8 bits per channel ({len(deep)} such images; their largest"
            f" value is {max(deep.values())}); set data.folder.white to the value that becomes 255"
        )


def _about_images(found: dict[Path, Findings], rules: Rules) -> list[str]:
    deep = [each.largest for each in found.values() if each.largest is not None]
    fits = bool(deep and rules.white) and rules.white / 4 <= max(deep) <= rules.white  # type: ignore[operator]
    return [
        *_counted(
            "images brought upright by their EXIF orientation",
            [image for image, each in found.items() if each.turned],
        ),
        *_counted(
            f"{'' if fits else 'warning: '}grey images with more than 8 bits",
            [image for image, each in found.items() if each.largest is not None],
            f"; largest value {max(deep, default=0)}, data.folder.white = {rules.white} becomes 255",
        ),
        *_counted(
            "colour images with 16 bits per channel"
            if rules.white
            else "warning: colour images with 16 bits per channel, reduced to their upper 8",
            [image for image, each in found.items() if each.deep_color],
            f"; data.folder.white = {rules.white} becomes 255"
            if rules.white
            else "; if they look black, set data.folder.white to the value that becomes 255",
        ),
    ]


def _about_masks(found: dict[Path, Findings], rules: Rules) -> list[str]:
    least = rules.mask_threshold
    rule = "any value but 0" if least is None else f"a value of at least {least:g}"
    return [
        *_counted(
            "warning: masks with more than two values",
            [mask for mask, each in found.items() if each.shaded],
            f"; foreground is {rule} (data.folder.mask_threshold)",
        ),
        *_counted(
            "masks with a coloured palette",
            [mask for mask, each in found.items() if each.indexed],
            "; the numbers of the colours are their values, and 0 is background",
        ),
        *_counted(
            "warning: masks that count as empty",
            [mask for mask, each in found.items() if each.faint],
            f"; no value reaches data.folder.mask_threshold = {least}",
        ),
    ]


def _either(path: Path, name: str) -> Path:
    return path / name if (path / name).exists() else path / "annotations" / name


class _Folder(NamedTuple):
    """The images of a folder and its subfolders by id, and the visible files that are no images."""

    images: dict[str, Path]
    others: list[Path]


def _files(folder: Path) -> _Folder:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; put your files there, or set data.folder.path")
    try:
        visible = visible_files(folder)
    except OSError as error:
        raise _unreadable(error) from None
    found = _Folder({}, [])
    for file in visible:
        if file.name in LITTER:
            continue
        if not is_image_file(file):
            found.others.append(file)
            continue
        path = file.relative_to(folder)
        image_id = layout.file_id(path)
        if not layout.is_plain(image_id):
            raise InputError(f"{folder}: {str(path)!r} cannot be written in a list; rename it")
        if image_id in found.images:
            first = str(found.images[image_id].relative_to(folder))
            raise InputError(f"{folder}: {first!a} and {str(path)!a} would have one name; rename one")
        found.images[image_id] = file
    if not found.images:
        raise InputError(f"{folder}: contains no images")
    return found


def _lists(path: Path, ids: list[str]) -> dict[Path, list[str]]:
    """Return what trains and what tests, if the folder says so, or else all ids."""
    given = {each: _either(path, each.name) for each in (layout.TRAINVAL, layout.TEST)}
    found = [file.is_file() for file in given.values()]
    if any(found) != all(found):
        raise InputError(f"{path}: needs both trainval.txt and test.txt, or neither")
    if not any(found):
        return {layout.LIST: ids}
    known = set(ids)
    return {each: layout.read_list(file, known) for each, file in given.items()}
