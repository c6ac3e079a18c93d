"""Writing outputs so that a reader only ever sees the old file or the new one.

Nothing is written *through* an existing file: DVC may have linked it to its cache, and
writing through the link would corrupt the cached object. Everything is written beside its
destination, synced to disk and renamed over it.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.segmentation.errors import InputError


def write_bytes(path: Path, data: bytes) -> None:
    """Replace the file at `path` by `data`, atomically; missing parent folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes private files
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON; NaN and infinity are refused, for other readers' sake."""
    write_bytes(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


@contextmanager
def rebuilt_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `path` when the block ends without an error.

    On an error, what was at `path` before stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.tmp"))
    new.chmod(0o777 & ~_umask())
    try:
        yield new
        os.sync()  # one call for the thousands of small files of a dataset
        old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.tmp"))
        if path.exists():
            path.rename(old / path.name)
        new.rename(path)
        shutil.rmtree(old)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def read_json(path: Path, stage: str) -> Any:
    """Read the JSON that `stage` wrote; raises `InputError` where it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run `python -m stages.{stage}` first") from None
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); run `python -m stages.{stage}` again") from None
