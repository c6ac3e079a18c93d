"""Tables as CSV files."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from segmentation.common.errors import InputError
from segmentation.common.files import missing


def csv_bytes(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Return the CSV file of a table, floats with six digits."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        cells = {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()}
        writer.writerow(cells)
    return text.getvalue().encode()


def read_csv(
    path: Path, stage: str, columns: Sequence[str] = (), may_be_empty: bool = False
) -> list[dict[str, str]]:
    """Read a table that `stage` wrote.

    Raises `InputError` if it is missing or damaged, lacks one of `columns`, or has no rows but should.
    """
    damaged = InputError(f"{path}: damaged; `dvc repro` makes it again")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            rows, header = list(reader), reader.fieldnames
    except FileNotFoundError:
        raise missing(path, stage) from None
    except (csv.Error, UnicodeDecodeError):
        raise damaged from None
    torn = any(None in row or None in row.values() for row in rows)
    if not header or set(columns) - set(header) or torn or not (rows or may_be_empty):
        raise damaged
    return rows
