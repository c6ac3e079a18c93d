"""Which files an export means: tools write other folders, backslashes and suffixes than there are."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path, PurePosixPath

from segmentation.common.errors import InputError
from segmentation.sources.annotations.shapes import AnnotatedImage

Matched = dict[Path, AnnotatedImage]
Index = Mapping[tuple[str, bool], list[Path]]  # files by ends of their paths; False: in lower case


def match(
    named: Iterable[AnnotatedImage], files: Sequence[Path], path: Path
) -> tuple[Matched, list[AnnotatedImage], list[AnnotatedImage]]:
    """Return which of the image `files` under `path` each image means; those not there; those moved.

    A name means the file at that place, from the folder of the export's file, from `path` or its images/.
    Otherwise it means the file whose path ends with it, in any case. A name of other folders has moved: it
    means, of the files that are left, the one with the longest end in common. Raises `InputError` for a name
    that may mean several files, and for a file that is named twice.
    """
    places = {_plain(str(file)): file for file in files}
    lengths = range(max((len(file.parts) - len(path.parent.parts) for file in files), default=0), 0, -1)
    index = _index(files, path, lengths)
    found, moved, left = Matched(), Matched(), []
    for image in named:
        parts = PurePosixPath(_plain(image.name).replace("\\", "/")).parts
        folders = product(dict.fromkeys((image.subset, "")), (image.file.parent, path, path / "images"))
        there = (_plain(os.path.normpath(folder.joinpath(sub, *parts))) for sub, folder in folders)
        file = next((places[place] for place in there if place in places), None)
        if candidates := [file] if file else _ending(parts, index):
            _claim(found, image, candidates)
        else:
            left.append((image, parts))
    for length in lengths:
        index = _index([file for file in files if file not in found and file not in moved], path, [length])
        remaining = []
        for image, parts in left:
            if candidates := _ending(parts[-length:], index):
                _claim(moved, image, candidates)
            else:
                remaining.append((image, parts))
        left = remaining
    return found | moved, [image for image, _ in left], list(moved.values())


def _index(files: Iterable[Path], path: Path, lengths: Iterable[int]) -> Index:
    """Return the files by the last names of their paths, from that of `path` on: as many as `lengths` say."""
    index = defaultdict(list)
    for file in files:
        parts = _plain("/".join(file.parts[len(path.parent.parts) :])).split("/")
        for length in lengths:
            if length <= len(parts):
                end = "/".join(parts[-length:])
                index[end, True].append(file)
                index[end.casefold(), False].append(file)
    return index


def _ending(parts: Sequence[str], index: Index) -> list[Path]:
    end = "/".join(parts)
    return index.get((end, True)) or index.get((end.casefold(), False), [])


def _claim(matched: Matched, image: AnnotatedImage, candidates: Sequence[Path]) -> None:
    """Let `image` mean the only one of the `candidates`; raises `InputError` for more, or if it is taken."""
    if len(candidates) > 1:
        problem = f"{image.name!r} may be {candidates[0]} or {candidates[1]}"
        raise InputError(f"{image.file}: {problem}; write its folder into the export, or delete one")
    first = matched.setdefault(candidates[0], image)
    if first is not image:
        names = " and ".join(f"as {one.name!r} in {one.file}" for one in (first, image))
        raise InputError(f"{candidates[0]}: named twice, {names}; keep one of them")


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name)
