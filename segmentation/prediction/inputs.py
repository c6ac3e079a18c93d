"""Which photos a person means by files, folders and globs, and where their results go."""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from segmentation.common.errors import InputError, reason
from segmentation.common.image_io import FORMATS, image_size

HEIC = {".heic", ".heif"}
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

    In a folder, hidden files and files without an image's suffix are passed over. Raises `InputError` for a
    path that is not there, a file that is no image, and where no photo was found.
    """
    sources: dict[Path, Source] = {}  # by the real file: named twice, it counts once
    heic = []
    for path in expand(paths):
        if path.is_dir():
            files = _files(path)
            heic += [file for file in files if file.suffix.lower() in HEIC]
            found = [
                Source(file, file.relative_to(path).with_suffix("")) for file in files if _is_image_name(file)
            ]
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
    """Return all visible files under a folder, through links too; an unreadable one is an `InputError`."""
    found: list[Path] = []
    seen = set()
    for name, folders, files in os.walk(folder, followlinks=True, onerror=_refuse_folder):
        real = os.path.realpath(name)
        folders[:] = [] if real in seen else sorted(each for each in folders if not each.startswith("."))
        if real not in seen:
            found += [Path(name, file) for file in sorted(files) if not file.startswith(".")]
        seen.add(real)
    return [file for file in found if file.is_file()]


def _refuse_folder(error: OSError) -> None:
    raise InputError(f"{reason(error)}; allow reading it, or name the folders beside it")


def place(path: Path) -> Path:
    """Return where a file is, however its folder is named; a link to a file is a file of its own."""
    return Path(os.path.realpath(path.parent), path.name)


def _is_image_name(file: Path) -> bool:
    return Image.registered_extensions().get(file.suffix.lower()) in FORMATS


def _refuse_other_files(path: Path) -> None:
    """Raise `InputError` unless a file has the name of an image, though it may be broken, or its content."""
    if path.suffix.lower() in HEIC:
        raise InputError(f"{path}: {HEIC_HINT}")
    if not _is_image_name(path):
        image_size(path)
