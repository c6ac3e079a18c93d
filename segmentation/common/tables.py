"""Tables as CSV files."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from segmentation.common.errors import InputError


def csv_bytes(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Return the CSV file of a table, floats with six digits."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        cells = {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()}
        writer.writerow(cells)
    return text.getvalue().encode()


def read_csv(path: Path, stage: str, columns: Sequence[str] = ()) -> list[dict[str, str]]:
    """Read a table that `stage` wrote.

    Raises `InputError` if it is missing or damaged, or lacks one of `columns`.
    """
    try:
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline=""), strict=True)
        rows = list(reader)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run `python -m stages.{stage}` first") from None
    except (csv.Error, UnicodeDecodeError):
        reader, rows = None, []
    header = reader.fieldnames if reader else None
    if not header or set(columns) - set(header) or any(None in row or None in row.values() for row in rows):
        raise InputError(f"{path}: damaged; run `python -m stages.{stage}` again")
    return rows
