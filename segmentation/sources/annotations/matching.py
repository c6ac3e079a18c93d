"""Which files an export means: tools write other folders, backslashes and suffixes than there are."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path, PurePosixPath

from segmentation.common.errors import InputError
from segmentation.sources.annotations.shapes import AnnotatedImage


def match(
    named: Iterable[AnnotatedImage], files: Sequence[Path], path: Path
) -> tuple[dict[Path, AnnotatedImage], list[AnnotatedImage]]:
    """Return which of the image `files` under `path` each image means, and the images that are not there.

    A name means the file at that place, from the folder of the export's file, from `path` or its images/.
    Otherwise it means the file of the same name, in any case, that shares most folders with it. Raises
    `InputError` for a name that may mean several files, and for a file that is named twice.
    """
    by_name: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        by_name[_plain(file.name).casefold()].append(file)
    places = {_plain(str(file)): file for file in files}
    matched: dict[Path, AnnotatedImage] = {}
    absent = []
    for image in named:
        parts = [part for part in PurePosixPath(_plain(image.name).replace("\\", "/")).parts if part != "."]
        folders = image.file.parent, path, path / "images"
        there = [_plain(os.path.normpath(folder.joinpath(*parts))) for folder in folders]
        exact = [places[place] for place in there if place in places]
        candidates = exact[:1] or (by_name.get(parts[-1].casefold(), []) if parts else [])
        if not candidates:
            absent.append(image)
            continue
        file = _choose(image, parts, candidates)
        if file in matched:
            first = matched[file]
            raise InputError(
                f"{file}: named twice, as {first.name!r} in {first.file} and as {image.name!r} in"
                f" {image.file}; keep one of them"
            )
        matched[file] = image
    return matched, absent


def _choose(image: AnnotatedImage, parts: list[str], candidates: Sequence[Path]) -> Path:
    """Return the file that shares most names with `parts`, from the last on, in any case; then, exactly."""
    shared = {}
    for file in candidates:
        pairs = zip(reversed(parts), map(_plain, reversed(file.parts)), strict=False)
        same = takewhile(lambda pair: pair[0].casefold() == pair[1].casefold(), pairs)
        shared[file] = len(list(same)), parts[-1] == _plain(file.name)
    most = max(shared.values())
    best = [file for file in candidates if shared[file] == most]
    if len(best) > 1:
        raise InputError(
            f"{image.file}: {image.name!r} may be {best[0]} or {best[1]}; write its folder into the export,"
            " or delete one"
        )
    return best[0]


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name)
