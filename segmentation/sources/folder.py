"""A person's own images and masks, brought into the layout of `common/dataset_layout.py`.

    images/        images of any format
    masks/         lossless images; any non-zero pixel is foreground. Or:
    trimaps/       1 foreground, 2 background, 3 border, as in Oxford-IIIT Pet
    trainval.txt   optional, together with test.txt: one image a line, with or without its suffix
    test.txt

An image and its mask have the same name but for the suffix. trimaps/ and the lists may also lie in
annotations/, so that an unpacked Oxford-IIIT Pet is such a folder too.
"""

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segmentation.common import dataset_layout as layout
from segmentation.common.errors import InputError
from segmentation.common.image_io import read_labels

LOSSY = {"JPEG", "MPO", "WEBP"}  # formats, by content, whose noise would count as foreground


def write_folder(folder: Path, path: Path, test_fraction: float, seed: int) -> None:
    """Copy the images of `path` into the existing, empty `folder`, their masks as trimaps.

    Without list files a share `test_fraction`, drawn at random by `seed`, tests. An image without a
    mask, a mask without an image and whatever does not decode are listed all the same: the split
    names them. Raises `InputError` if a part of `path` is missing or ambiguous.
    """
    images = _files(path / "images")
    masks, trimaps = path / "masks", _either(path, "trimaps")
    if masks.is_dir() == trimaps.is_dir():
        raise InputError(f"{path}: needs exactly one of the folders masks/ and trimaps/ besides images/")
    labels = _files(masks if masks.is_dir() else trimaps)
    ids = sorted(images.keys() | labels.keys())
    trainval, test = _lists(path, ids, test_fraction, seed)
    (folder / layout.IMAGES).mkdir()
    (folder / layout.TRIMAPS).mkdir(parents=True)
    for image_id, image in images.items():
        shutil.copyfile(image, layout.image_path(folder, image_id))
    for image_id, label in labels.items():
        destination = layout.trimap_path(folder, image_id)
        if masks.is_dir():
            _write_trimap(label, destination)
        else:
            shutil.copyfile(label, destination)
    for name, members in ((layout.LIST, ids), (layout.TRAINVAL, trainval), (layout.TEST, test)):
        (folder / name).write_text("".join(f"{each} 1 1 1\n" for each in members), encoding="utf-8")


def mask_to_trimap(mask: NDArray[np.generic], channels: tuple[str, ...]) -> NDArray[np.uint8]:
    """Turn a mask `(H, W)` or `(H, W, C)` into a trimap `(H, W)`: 1 where any channel but alpha is not 0."""
    if mask.ndim == 3:
        mask = mask[..., [channel != "A" for channel in channels]].max(axis=-1)
    return np.where(mask != 0, layout.PET, layout.BACKGROUND).astype(np.uint8)


def _write_trimap(mask: Path, destination: Path) -> None:
    try:
        with Image.open(mask) as image:
            channels, lossy = image.getbands(), image.format in LOSSY
        trimap = mask_to_trimap(read_labels(mask), channels)
    except (InputError, OSError):
        shutil.copyfile(mask, destination)  # the split names what does not decode
        return
    if lossy:
        raise InputError(
            f"{mask}: masks must be lossless, or compression noise counts as foreground; save them as PNG"
        )
    Image.fromarray(trimap).save(destination)


def _either(path: Path, name: str) -> Path:
    return path / name if (path / name).exists() else path / "annotations" / name


def _files(folder: Path) -> dict[str, Path]:
    """The visible files of `folder` by name without suffix."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; put your files there, or set data.folder.path")
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.is_file() and not file.name.startswith("."):
            if not layout.is_plain(file.stem):
                raise InputError(f"{folder}: {file.name!r} cannot be written in a list; rename it")
            if file.stem in found:
                raise InputError(
                    f"{folder}: {found[file.stem].name} and {file.name} differ only by suffix; rename one"
                )
            found[file.stem] = file
    if not found:
        raise InputError(f"{folder}: contains no files")
    return found


def _lists(path: Path, ids: list[str], test_fraction: float, seed: int) -> tuple[list[str], list[str]]:
    trainval, test = _either(path, "trainval.txt"), _either(path, "test.txt")
    if trainval.is_file() != test.is_file():
        raise InputError(f"{path}: needs both trainval.txt and test.txt, or neither")
    if trainval.is_file():
        known = set(ids)
        named = [
            [_without_suffix(each, known) for each in layout.read_list(file)] for file in (trainval, test)
        ]
        return named[0], named[1]
    shuffled = [ids[i] for i in np.random.default_rng(seed).permutation(len(ids))]
    testing = max(1, round(test_fraction * len(ids)))
    return shuffled[testing:], shuffled[:testing]


def _without_suffix(entry: str, known: set[str]) -> str:
    return Path(entry).stem if entry not in known and Path(entry).stem in known else entry
