"""Which files an export means: tools write other folders, backslashes and suffixes than there are."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path, PurePosixPath

from segmentation.common.errors import InputError
from segmentation.sources.annotations.shapes import AnnotatedImage

Matched = dict[Path, AnnotatedImage]


def match(
    named: Iterable[AnnotatedImage], files: Sequence[Path], path: Path
) -> tuple[Matched, list[AnnotatedImage], list[AnnotatedImage]]:
    """Return which of the image `files` under `path` each image means; those not there; those moved.

    A name means the file at that place, from the folder of the export's file, from `path` or its images/.
    Otherwise it means the file whose path has the longest end in common with it, in any case. Where that is
    not the whole name, the image has moved, and files that other names mean are left out. Raises `InputError`
    for a name that may mean several files, and for a file that is named twice.
    """
    places = {_plain(str(file)): file for file in files}
    matched, left, moved = Matched(), [], list[AnnotatedImage]()
    for image in named:
        parts = PurePosixPath(_plain(image.name).replace("\\", "/")).parts
        folders = product(dict.fromkeys((image.subset, "")), (image.file.parent, path, path / "images"))
        there = (_plain(os.path.normpath(folder.joinpath(sub, *parts))) for sub, folder in folders)
        if file := next((places[place] for place in there if place in places), None):
            _claim(matched, image, [file])
        else:
            left.append((image, parts))
    names = {file: _plain(str(file.relative_to(path.parent))).split("/") for file in files}
    for length in range(max(map(len, names.values()), default=0), 0, -1):
        ends, remaining = defaultdict[tuple[str, bool], list[Path]](list), []
        for file, own in names.items():
            if length <= len(own):
                end = "/".join(own[-length:])
                ends[end, True].append(file)
                ends[end.casefold(), False].append(file)  # in any case
        free = {end: [file for file in ending if file not in matched] for end, ending in ends.items()}
        for image, parts in left:
            index, end = ends if len(parts) == length else free, "/".join(parts[-length:])
            if candidates := index.get((end, True)) or index.get((end.casefold(), False)):
                _claim(matched, image, candidates)
                moved += [image] if index is free else []
            else:
                remaining.append((image, parts))
        left = remaining
    return matched, [image for image, _ in left], moved


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
