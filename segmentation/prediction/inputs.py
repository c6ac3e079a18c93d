"""Which photos a person means by files, folders and globs, and which share of them this process predicts."""

import glob
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from segmentation.common.errors import InputError, reason
from segmentation.common.files import visible_files
from segmentation.common.image_io import image_size, is_image_file

NUMBER = re.compile(r"[0-9]{1,9}")


class PhotoFile(NamedTuple):
    """The file of a photo, and its name in the output folder: relative, without suffix."""

    path: Path
    name: Path


@dataclass(frozen=True)
class Shard:
    """Number `index`, from 0, of `count` shards."""

    index: int
    count: int


def find_photos(paths: Sequence[str]) -> list[PhotoFile]:
    """Return the photos that `paths` name, in a fixed order.

    Paths are files, folders (with all that is in them) and globs. In a folder, hidden files and files that
    are no images are passed over. Raises `InputError` for a path that does not exist, a file that is no
    image, and where no photo was found.
    """
    photos: dict[Path, PhotoFile] = {}  # by the real file: named twice, it counts once
    for path in expand(paths):
        if path.is_dir():
            try:
                files = visible_files(path)
            except OSError as error:
                remedy = "allow reading it, or name the folders beside it"
                raise InputError(f"{reason(error)}; {remedy}") from None
            for file in filter(is_image_file, files):
                photos.setdefault(resolved(file), PhotoFile(file, file.relative_to(path).with_suffix("")))
        else:
            if not is_image_file(path):
                image_size(path)  # says what it is instead
            photos.setdefault(resolved(path), PhotoFile(path, Path(path.stem)))
    if not photos:
        raise InputError(f"{', '.join(paths)}: no images were found there")
    return list(photos.values())


def expand(paths: Iterable[str]) -> Iterator[Path]:
    """Replace the globs among `paths` by the files that they match; raises `InputError` if there are none."""
    for path in paths:
        if Path(path).exists():
            yield Path(path)
        elif matches := sorted(match for match in glob.glob(path, recursive=True) if Path(match).exists()):  # noqa: PTH207
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


def resolved(path: Path) -> Path:
    """Return a path with its folder's links resolved; a link to a file is a file of its own."""
    return Path(os.path.realpath(path.parent), path.name)


def choose_shard(argument: str | None, environment: Mapping[str, str] = os.environ) -> Shard:
    """Return the shard `I/N` of `argument`, or else of a Slurm array or of `torchrun`; 0 of 1 without any.

    Raises `InputError` unless 0 <= I < N.
    """
    if argument is not None:
        source, (index, _, count) = f"--shard {argument}", argument.partition("/")
    elif "SLURM_ARRAY_TASK_ID" in environment:
        source = "Slurm's array (it must be a range without gaps: --array=0-N)"
        index, count = environment["SLURM_ARRAY_TASK_ID"], environment.get("SLURM_ARRAY_TASK_COUNT", "")
        first = environment.get("SLURM_ARRAY_TASK_MIN", "0")
        last = environment.get("SLURM_ARRAY_TASK_MAX")
        if NUMBER.fullmatch(index) and NUMBER.fullmatch(first):
            index = str(int(index) - int(first))
        if last is not None and str(int(last) - int(first) + 1) != count:
            index = ""
    elif "WORLD_SIZE" in environment:
        source = "the variables RANK and WORLD_SIZE"
        index, count = environment.get("RANK", ""), environment["WORLD_SIZE"]
    else:
        return Shard(0, 1)
    if not (NUMBER.fullmatch(index) and NUMBER.fullmatch(count) and int(index) < int(count)):
        raise InputError(f"{source}: a shard is I/N with 0 <= I < N, as in 0/3")
    return Shard(int(index), int(count))
