"""Which photos a person means by files, folders and globs, and where their results go."""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from segmentation.common.errors import InputError, reason
from segmentation.common.files import visible_files
from segmentation.common.image_io import HEIC, image_size, is_image_file

HEIC_HINT = "HEIC is not supported; convert it to JPEG (iPhone: Settings, Camera, Formats, Most Compatible)"


class Source(NamedTuple):
    """The file of a photo, and its name in the output folder: relative, without suffix."""

    path: Path
    name: Path


class Found(NamedTuple):
    """The files of all photos, in a fixed order, and the HEIC files in folders, which cannot be read."""

    sources: list[Source]
    heic: list[Path]


def find_sources(paths: Sequence[str]) -> Found:
    """Return the files of photos that `paths` name: files, folders (with all that is in them) and globs.

    In a folder, hidden files and files that are no images are passed over. Raises `InputError` for a
    path that is not there, a file that is no image, and where no photo was found.
    """
    sources: dict[Path, Source] = {}  # by the real file: named twice, it counts once
    heic = []
    for path in expand(paths):
        if path.is_dir():
            files = _files(path)
            heic += [file for file in files if file.suffix.lower() in HEIC]
            photos = [file for file in files if file.suffix.lower() not in HEIC and is_image_file(file)]
            found = [Source(file, file.relative_to(path).with_suffix("")) for file in photos]
        else:
            _refuse_other_files(path)
            found = [Source(path, Path(path.stem))]
        for source in found:
            sources.setdefault(place(source.path), source)
    if not sources:
        hint = f"; {heic[0]}: {HEIC_HINT}" if heic else ""
        raise InputError(f"{', '.join(paths)}: no images were found there{hint}")
    return Found(list(sources.values()), heic)


def expand(paths: Iterable[str]) -> Iterator[Path]:
    """Replace the globs among `paths` by the files that they match; raises `InputError` if there are none."""
    for path in paths:
        if Path(path).exists():
            yield Path(path)
        elif matches := sorted(each for each in glob.glob(path, recursive=True) if Path(each).exists()):  # noqa: PTH207
            yield from map(Path, matches)
        else:
            raise InputError(f"{path}: no such file or folder")


def refuse_out(out: Path, paths: Sequence[str]) -> None:
    """Raise `InputError` if `out` is a file, or in an input folder: results would be photos next time."""
    for folder in filter(Path.is_dir, expand(paths)):
        if Path(os.path.realpath(out)).is_relative_to(os.path.realpath(folder)):
            raise InputError(f"--out {out}: lies in the input folder {folder}; choose a folder outside")
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is not a folder")


def _files(folder: Path) -> list[Path]:
    try:
        return visible_files(folder)
    except OSError as error:
        raise InputError(f"{reason(error)}; allow reading it, or name the folders beside it") from None


def place(path: Path) -> Path:
    """Return where a file is, however its folder is named; a link to a file is a file of its own."""
    return Path(os.path.realpath(path.parent), path.name)


def _refuse_other_files(path: Path) -> None:
    """Raise `InputError` unless a file has the name of an image, though it may be broken, or its content."""
    if path.suffix.lower() in HEIC:
        raise InputError(f"{path}: {HEIC_HINT}")
    if not is_image_file(path):
        image_size(path)
