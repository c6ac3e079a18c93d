"""Predict many photos: what exists is skipped, what is broken is noted, an interrupted job resumes."""

import csv
import io
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from segmentation.common.cores import usable_cores
from segmentation.common.errors import Fault, InputError
from segmentation.common.files import atomic_write, write_bytes
from segmentation.common.geometry import Probabilities
from segmentation.common.image_io import image_size
from segmentation.common.progress import progress
from segmentation.prediction.inputs import PhotoFile, Shard, resolved
from segmentation.prediction.kinds import Photo, read_photo, write_kind
from segmentation.prediction.load import AnyPredictor, pixels_in_memory

ReadError = tuple[Path, str]  # a photo that cannot be read, and why

STDIN = Path("/dev/stdin")
HEADER = ["image", "error"]  # of the table of errors
BATCH_PIXELS = 32_000_000  # in memory; photos of more than that in all do not go into one batch


class PhotoTask(NamedTuple):
    """A photo, and the files that are to be made of it, by kind."""

    source: Path
    outputs: dict[str, Path]


def plan(photos: Sequence[PhotoFile], out: Path, kinds: Sequence[str]) -> list[PhotoTask]:
    """Return the task of each photo. Those that differ only by suffix keep it: `a.gif` becomes `a.gif.png`.

    Raises `InputError` where two photos, or a photo and an output, would be the same file.
    """
    counts = Counter(photo.name for photo in photos)
    tasks = []
    for path, name in photos:
        stem = str(name.parent / path.name) if counts[name] > 1 else str(name)
        suffixes = {kind: ".png" if kind == "mask" else f".{kind}.png" for kind in kinds}
        tasks.append(PhotoTask(path, {kind: out / (stem + suffix) for kind, suffix in suffixes.items()}))
    outputs = [(task.source, output) for task in tasks for output in task.outputs.values()]
    taken = {resolved(photo.path): photo.path for photo in photos}
    for source, output in outputs:
        other = taken.setdefault(resolved(output), source)
        if other != source or resolved(output) == resolved(source):
            raise _clash(source, output, other)
        if len(os.fsencode(output.name)) > 255:  # on Linux and macOS
            raise InputError(f"{source}: its name is too long for {output.name[-20:]!r} after it; shorten it")
    for source, output in outputs:
        for folder in output.relative_to(out).parents:
            if blocking := taken.get(resolved(out / folder)):
                raise _clash(source, output, blocking)
    return tasks


def _clash(source: Path, output: Path, other: Path) -> InputError:
    problem = f"its output {output} would be in the way of {other} or of its output"
    return InputError(f"{source}: {problem}; rename one, or predict them one by one with another --out")


def missing(tasks: Sequence[PhotoTask]) -> list[PhotoTask]:
    """Return the tasks, or parts of them, whose outputs do not exist yet."""
    left = ({kind: path for kind, path in task.outputs.items() if not path.is_file()} for task in tasks)
    return [PhotoTask(task.source, new) for task, new in zip(tasks, left, strict=True) if new]


def predict(
    predictor: AnyPredictor,
    tasks: Sequence[PhotoTask],
    batch_size: int,
    errors: list[ReadError],
    white: int | None = None,
) -> int:
    """Predict and write all tasks, with a progress bar; add what could not be read to `errors` as it is met.

    `white` as in `open_image`. Returns how many photos have transparent pixels. Raises `Fault` if an output
    cannot be written.
    """
    transparent = 0
    with (
        ThreadPoolExecutor(usable_cores()) as pool,
        progress(None, "photos", len(tasks), hidden=len(tasks) == 1) as bar,
    ):
        for batch in _batches(predictor, tasks, batch_size):
            photos = []
            for task, photo in zip(batch, pool.map(_read, batch, repeat(white)), strict=True):
                if isinstance(photo, Photo):
                    photos.append((task, photo))
                    transparent += photo.alpha is not None and bool(photo.alpha.min() < 255)
                else:
                    tqdm.write(f"predict: {' '.join(str(photo).split())}", file=sys.stderr)
                    errors.append((task.source, str(photo).removeprefix(f"{task.source}: ")))
            results = predictor.probabilities([photo.image for _, photo in photos], batch_size=batch_size)
            for _ in pool.map(_write, photos, results, repeat(predictor.threshold)):
                pass  # an error of a thread is raised here
            bar.update(len(batch))
    return transparent


def pipe(kinds: Sequence[str], predictor: AnyPredictor, white: int | None) -> None:
    """Predict the image on standard input, to standard output; raises `InputError` for several kinds."""
    if len(kinds) > 1:
        raise InputError("- writes one result to standard output; choose one --kind")
    if sys.stdout is None:
        raise Fault("standard output is closed")
    photo = read_photo(STDIN, white)
    (probabilities,) = predictor.probabilities([photo.image])
    write_kind(kinds[0], photo, probabilities, predictor.threshold, sys.stdout.buffer)


def _batches(
    predictor: AnyPredictor, tasks: Sequence[PhotoTask], batch_size: int
) -> Iterator[list[PhotoTask]]:
    batch: list[PhotoTask] = []
    pixels = 0
    for task in tasks:
        try:
            width, height = image_size(task.source)
        except InputError:  # said when it is read
            width, height = 1, 1
        new = pixels_in_memory(predictor, width, height)
        if batch and (len(batch) == batch_size or pixels + new > BATCH_PIXELS):
            yield batch
            batch, pixels = [], 0
        batch.append(task)
        pixels += new
    if batch:
        yield batch


def _read(task: PhotoTask, white: int | None) -> Photo | InputError:
    if not os.access(task.source, os.R_OK):
        return InputError(f"{task.source}: cannot be read (no permission)")
    try:
        return read_photo(task.source, white)
    except InputError as error:
        return error


def _write(task_and_photo: tuple[PhotoTask, Photo], probabilities: Probabilities, threshold: float) -> None:
    task, photo = task_and_photo
    for kind, path in task.outputs.items():
        with atomic_write(path) as file:
            write_kind(kind, photo, probabilities, threshold, file)


def write_errors(out: Path, shard: Shard, errors: Sequence[ReadError]) -> Path:
    """Write the table of errors of a shard, or delete that of an earlier run; return its path."""
    path = out / ("errors.csv" if shard.count == 1 else f"errors-{shard.index}-of-{shard.count}.csv")
    if errors:
        table = io.StringIO()
        csv.writer(table, lineterminator="\n").writerows([HEADER, *errors])
        write_bytes(path, table.getvalue().encode(errors="surrogateescape"))
    elif path.is_file() and path.read_bytes().startswith(",".join(HEADER).encode()):  # else it is the user's
        path.unlink()
    return path
