"""Which files an export means: tools write other folders, backslashes and suffixes than there are."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from segmentation.common.errors import InputError
from segmentation.sources.annotations.shapes import AnnotatedImage

Matched = dict[Path, AnnotatedImage]
Index = Mapping[tuple[str, bool], list[Path]]  # files by each end of their paths; False: in lower case


def match(
    named: Iterable[AnnotatedImage], files: Sequence[Path], path: Path
) -> tuple[Matched, list[AnnotatedImage], list[AnnotatedImage]]:
    """Return which of the image `files` under `path` each image means; those not there; those moved.

    A name means the file at that place, from the folder of the export's file, from `path` or its images/.
    Otherwise it means the file whose path ends with it, in any case. A name of other folders has moved: it
    means, of the files that are left, the one with the longest end in common. Raises `InputError` for a name
    that may mean several files, and for a file that is named twice.
    """
    index, places = _index(files, path), {_plain(file.as_posix()): file for file in files}
    found, moved, others = Matched(), Matched(), []
    for image in named:
        name = PurePosixPath(_plain(image.name).replace("\\", "/"))
        folders = (image.file.parent, path, path / "images")
        there = (folder / subset / name for subset in (image.subset, "") for folder in folders)
        exact = (places.get(_plain(os.path.normpath(place))) for place in there)
        file = next(filter(None, exact), None)
        if candidates := [file] if file else _ending(name.parts, index):
            _claim(found, image, candidates)
        else:
            others.append((image, name.parts))
    index, absent = _index([file for file in files if file not in found], path), []
    for image, parts in others:
        ends = (_ending(parts[start:], index) for start in range(1, len(parts)))
        if candidates := next(filter(None, ends), []):
            _claim(moved, image, candidates)
        else:
            absent.append(image)
    return found | moved, absent, list(moved.values())


def _index(files: Iterable[Path], path: Path) -> Index:
    index = defaultdict(list)
    for file in files:
        parts = _plain(file.relative_to(path.parent).as_posix()).split("/")
        for start in range(len(parts)):
            end = "/".join(parts[start:])
            index[end, True].append(file)
            index[end.casefold(), False].append(file)
    return index


def _ending(parts: Sequence[str], index: Index) -> list[Path]:
    end = "/".join(parts)
    return index.get((end, True)) or index.get((end.casefold(), False), [])


def _claim(matched: Matched, image: AnnotatedImage, candidates: Sequence[Path]) -> None:
    """Let `image` mean the only one of the `candidates`; raises `InputError` for more, or if it is taken."""
    if len(candidates) > 1:
        raise InputError(
            f"{image.file}: {image.name!r} may be {candidates[0]} or {candidates[1]}; write its folder into"
            " the export, or delete one"
        )
    first = matched.setdefault(candidates[0], image)
    if first is not image:
        raise InputError(
            f"{candidates[0]}: named twice, as {first.name!r} in {first.file} and as {image.name!r} in"
            f" {image.file}; keep one of them"
        )


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name)
