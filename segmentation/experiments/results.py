"""The kept results of runs: a row for each network of each run, and each test image's Dice."""

import io
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from segmentation.common.errors import InputError
from segmentation.common.files import write_bytes
from segmentation.common.tables import csv_bytes, read_csv

SCORES = ("dice", "dice_pooled", "dice_soft")
COLUMNS = ("run", "code", "seed", "network", *SCORES, "threshold", "epoch", "changed", "hardware")
# What is raised, by the place of the damage.
DAMAGE = (InputError, FileNotFoundError, EOFError, KeyError, ValueError, RuntimeError, BadZipFile, zlib.error)
UNTESTED = 2**16 - 1  # in place of the Dice of an image that a run did not test
SCALE = 1000  # a Dice is kept as a whole number of thousandths: 40 runs of 3,669 images are 460 kB


class KeptResults(NamedTuple):
    """All rows in the order of their runs, the ids of the test images, and each image's Dice by `key_of`.

    Where the runs have other test images (`split_by_seed`), the Dice of those of the others is NaN.
    """

    rows: list[dict[str, str]]
    images: list[str]
    dice: dict[str, NDArray[np.float64]]

    @property
    def latest(self) -> list[dict[str, str]]:
        """The rows of the same version of the code as the last row."""
        return [row for row in self.rows if row["code"] == self.rows[-1]["code"]]


class RunScores(NamedTuple):
    """What a finished run leaves: a row for each network, and its table metrics/per_image.csv."""

    networks: list[dict[str, str]]
    images: list[dict[str, str]]


def paths(plan: Path) -> tuple[Path, Path]:
    """Return where the rows and the images' scores of a file of questions are kept."""
    folder = plan.parent / "results"
    return folder / f"{plan.stem}.csv", folder / f"{plan.stem}.npz"


def key_of(row: Mapping[str, str]) -> str:
    """Return what tells a row from all others."""
    return f"{row['run']}/{row['code']}/{row['network']}"


def read_results(plan: Path) -> KeptResults:
    """Read what there is; raises `InputError` with one line if it is damaged."""
    table, archive = paths(plan)
    if not table.exists():
        return KeptResults([], [], {})
    try:
        rows = read_csv(table, "", COLUMNS)
        with np.load(io.BytesIO(archive.read_bytes())) as stored:
            images = json.loads(stored["images"].tobytes())
            kept = {key_of(row): stored[key_of(row)] for row in rows}
        dice = {key: np.where(values == UNTESTED, np.nan, values / SCALE) for key, values in kept.items()}
        if not all(len(values) == len(images) for values in dice.values()):
            raise ValueError("scores are missing")
        for row in rows:
            float(row["dice_soft"])
    except DAMAGE:
        files = f"{table} {archive}"
        remedy = f"if they were committed: git checkout {files}; else move both aside"
        raise InputError(f"{files}: damaged, or not of the same runs; {remedy}") from None
    return KeptResults(rows, images, dice)


def add(plan: Path, results: KeptResults, scores: RunScores, split_by_seed: bool = False) -> KeptResults:
    """Write the results with those of one more run, and return what was written.

    Raises `InputError` if its test images are not those of the other runs, unless they may differ.
    """
    table, archive = paths(plan)
    tested = list(dict.fromkeys(row["id"] for row in scores.images))
    images = list(dict.fromkeys([*results.images, *tested]))
    if results.images and tested != results.images and not split_by_seed:
        raise InputError(f"{table}: holds runs with other test images; keep them in another file")
    dice = {key: dict(zip(results.images, values, strict=True)) for key, values in results.dice.items()}
    for row in scores.networks:
        dice[key_of(row)] = {
            image["id"]: float(image["dice"]) for image in scores.images if image["model"] == row["network"]
        }
    arrays: dict[str, Any] = {}
    for key, of_image in dice.items():
        values = np.array([of_image.get(image_id, np.nan) for image_id in images])
        arrays[key] = np.where(np.isnan(values), UNTESTED, np.round(values * SCALE)).astype(np.uint16)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=np.frombuffer(json.dumps(images).encode(), np.uint8), **arrays)
    write_bytes(archive, buffer.getvalue())
    write_bytes(table, csv_bytes(COLUMNS, [*results.rows, *scores.networks]))
    return read_results(plan)
