"""The kept results of runs: a row for each network of each run, and each test image's Dice."""

import io
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from segmentation.common.errors import InputError
from segmentation.common.files import write_bytes
from segmentation.common.tables import csv_bytes, read_csv

COLUMNS = (
    "run",
    "code",
    "seed",
    "network",
    "dice",
    "dice_pooled",
    "dice_soft",
    "threshold",
    "epoch",
    "changed",
    "hardware",
)
SCALE = 1000  # a Dice is kept as a whole number of thousandths: 40 runs of 3,669 images are 460 kB
DAMAGE = (  # what is raised, by the place of the damage
    InputError,
    FileNotFoundError,
    EOFError,
    KeyError,
    ValueError,
    RuntimeError,
    BadZipFile,
    zlib.error,
)

Row = dict[str, str]


class Results(NamedTuple):
    """All rows, the ids of the test images, and each image's Dice by (run, code, network)."""

    rows: list[Row]
    images: list[str]
    dice: dict[tuple[str, str, str], NDArray[np.float64]]

    def of_code(self, code: str) -> list[Row]:
        """Return the rows of one version of the code."""
        return [row for row in self.rows if row["code"] == code]


def paths(plan: Path) -> tuple[Path, Path]:
    """Return where the rows and the images' scores of a file of questions are kept."""
    folder = plan.parent / "results"
    return folder / f"{plan.stem}.csv", folder / f"{plan.stem}.npz"


def read_results(plan: Path) -> Results:
    """Read what there is; raises `InputError` with one line if it is damaged."""
    table, archive = paths(plan)
    if not table.exists():
        return Results([], [], {})
    try:
        rows = read_csv(table, "", COLUMNS)
        with np.load(io.BytesIO(archive.read_bytes())) as stored:
            images = json.loads(stored["images"].tobytes())
            dice = {key_of(row): stored["/".join(key_of(row))] / SCALE for row in rows}
        if not all(len(each) == len(images) and np.isfinite(each).all() for each in dice.values()):
            raise ValueError("scores are missing")
        for row in rows:
            float(row["dice_soft"])
    except DAMAGE:
        files = f"{table} {archive}"
        remedy = f"if they were committed: git checkout {files}; else move both aside"
        raise InputError(f"{files}: damaged, or not of the same runs; {remedy}") from None
    return Results(rows, images, dice)


def key_of(row: Mapping[str, str]) -> tuple[str, str, str]:
    """Return what tells a row from all others."""
    return row["run"], row["code"], row["network"]


def add(plan: Path, results: Results, rows: Sequence[Row], per_image: Sequence[Mapping[str, str]]) -> Results:
    """Return the results with those of one more run, and write them.

    `per_image` is the table metrics/per_image.csv of that run. Raises `InputError` if its test images are not
    those of the other runs.
    """
    images = list(dict.fromkeys(row["id"] for row in per_image))
    if results.images and images != results.images:
        raise InputError(f"{paths(plan)[0]}: holds runs with other test images; keep them in another file")
    dice = dict(results.dice)
    for row in rows:
        mine = [float(each["dice"]) for each in per_image if each["model"] == row["network"]]
        dice[key_of(row)] = np.round(np.array(mine) * SCALE) / SCALE
    grown = Results([*results.rows, *rows], images, dice)
    table, archive = paths(plan)
    write_bytes(archive, _archive(grown))
    write_bytes(table, csv_bytes(COLUMNS, grown.rows))
    return grown


def _archive(results: Results) -> bytes:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {
        "/".join(key): np.round(values * SCALE).astype(np.uint16) for key, values in results.dice.items()
    }
    images = np.frombuffer(json.dumps(results.images).encode(), np.uint8)
    np.savez_compressed(buffer, images=images, **arrays)
    return buffer.getvalue()
