"""Predict many photos: what exists is skipped, what is broken is noted, an interrupted job resumes."""

import csv
import io
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from segmentation.common.cores import usable_cores
from segmentation.common.errors import InputError
from segmentation.common.files import replaced, write_bytes
from segmentation.common.image_io import image_size
from segmentation.prediction.inputs import Source
from segmentation.prediction.kinds import Photo, read_photo, write_kind
from segmentation.prediction.load import AnyPredictor
from segmentation.prediction.shards import Shard

Error = tuple[Path, str]  # a photo that cannot be read, and why

BATCH_PIXELS = 32_000_000  # photos of more pixels than that in all do not go into one batch


class Task(NamedTuple):
    """A photo, and the files that are to be made of it, by kind."""

    source: Path
    outputs: dict[str, Path]


def plan(sources: Sequence[Source], out: Path, kinds: Sequence[str]) -> list[Task]:
    """Return the task of each photo.

    Raises `InputError` where two photos, or a photo and an output, would be the same file.
    """
    made_of = {source.path.resolve(): source.path for source in sources}
    tasks = []
    for source in sources:
        outputs = {kind: out / source.name.with_name(source.name.name + _ending(kind)) for kind in kinds}
        for output in outputs.values():
            other = made_of.setdefault(output.resolve(), source.path)
            if other != source.path or output.resolve() == source.path.resolve():
                raise InputError(
                    f"{source.path}: its output would be {output}, as that of {other}; rename one or predict"
                    " them one by one with another --out"
                )
        tasks.append(Task(source.path, outputs))
    return tasks


def missing(tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks, or parts of them, whose outputs do not exist yet."""
    left = [
        Task(task.source, {kind: path for kind, path in task.outputs.items() if not path.exists()})
        for task in tasks
    ]
    return [task for task in left if task.outputs]


def predict(predictor: AnyPredictor, tasks: Sequence[Task], batch_size: int) -> list[Error]:
    """Predict and write all tasks, with a progress bar; return what could not be read.

    Raises `Fault` if an output cannot be written.
    """
    errors: list[Error] = []
    with (
        ThreadPoolExecutor(usable_cores()) as pool,
        tqdm(total=len(tasks), unit="image", disable=None if len(tasks) > 1 else True) as bar,
    ):
        for batch in _batches(tasks, batch_size):
            photos = []
            for task, photo in zip(batch, pool.map(_read, batch), strict=True):
                if isinstance(photo, Photo):
                    photos.append((task, photo))
                else:
                    tqdm.write(f"predict: {photo}", file=sys.stderr)
                    errors.append((task.source, str(photo)))
            found = predictor.probabilities([photo.image for _, photo in photos])
            for _ in pool.map(_write, photos, found, repeat(predictor.threshold)):
                pass  # an error of a thread is raised here
            bar.update(len(batch))
    return errors


def write_errors(out: Path, shard: Shard, errors: Sequence[Error]) -> Path:
    """Write the table of errors of a shard, or delete that of an earlier run; return its path."""
    name = "errors.csv" if shard.count == 1 else f"errors-{shard.index}-of-{shard.count}.csv"
    path = out / name
    if errors:
        table = io.StringIO()
        csv.writer(table, lineterminator="\n").writerows([("image", "error"), *errors])
        write_bytes(path, table.getvalue().encode(errors="surrogateescape"))
    else:
        path.unlink(missing_ok=True)
    return path


def _ending(kind: str) -> str:
    return ".png" if kind == "mask" else f".{kind}.png"


def _batches(tasks: Sequence[Task], batch_size: int) -> Iterator[list[Task]]:
    batch: list[Task] = []
    pixels = 0
    for task in tasks:
        new = _pixels(task.source)
        if batch and (len(batch) == batch_size or pixels + new > BATCH_PIXELS):
            yield batch
            batch, pixels = [], 0
        batch.append(task)
        pixels += new
    if batch:
        yield batch


def _pixels(path: Path) -> int:
    try:
        width, height = image_size(path)
    except InputError:  # said when it is read
        return 0
    return width * height


def _read(task: Task) -> Photo | InputError:
    try:
        return read_photo(task.source)
    except InputError as error:
        return error


def _write(task_and_photo: tuple[Task, Photo], probabilities: NDArray[np.float32], threshold: float) -> None:
    task, photo = task_and_photo
    for kind, path in task.outputs.items():
        with replaced(path) as file:
            write_kind(kind, photo, probabilities, threshold, file)
