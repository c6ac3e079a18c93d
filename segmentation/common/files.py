"""Writing outputs so that a reader only ever sees the old file or the new one.

Everything is written beside its destination, synced to disk and renamed over it: DVC may have linked a file
to its cache, and writing through the link would corrupt the cached object.
"""

import glob
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, NoReturn, TypeVar

from pydantic import TypeAdapter, ValidationError

from segmentation.common.errors import Fault, InputError, reason

T = TypeVar("T")

RWLOCK = Path(".dvc/tmp/rwlock")  # where DVC notes which process runs a stage

_MARK = f".tmp-{socket.gethostname()}-"  # followed by the process that writes


def write_bytes(path: Path, data: bytes) -> None:
    """Replace the file at `path` by `data`, atomically; missing parent folders are made."""
    with atomic_write(path) as file:
        file.write(data)


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file that replaces the one at `path` if the block ends without an error.

    On an error the previous file stays intact. Raises `Fault` if it cannot be written.
    """
    with fault(path):
        temporary = _temporary(path)
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON; NaN and infinity, which are no JSON, are refused."""
    write_bytes(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


@contextmanager
def replace_dir(path: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces the one at `path` if the block ends without an error.

    On an error the previous folder stays intact. Raises `Fault` if it cannot be written.
    """
    with fault(path):
        new, old = _temporary(path), _temporary(path)
        try:
            new.mkdir()
            yield new
            os.sync()  # file by file it takes longer, if there are many
            if path.exists():
                path.rename(old)
            new.rename(path)
        except BaseException:
            if old.exists() and not path.exists():
                old.rename(path)
            shutil.rmtree(new, ignore_errors=True)
            raise
        # The new content is complete, so an error here is none: the next command deletes what is left.
        with suppress(OSError):
            _delete(old)


@contextmanager
def fault(path: Path) -> Iterator[None]:
    """Turn a system error, which may name a temporary file or none, into a `Fault` that names `path`."""
    try:
        yield
    except OSError as error:
        why = f"could not be written ({reason(error)}); its previous content is intact"
        raise Fault(f"{path} {why}") from error


def _temporary(path: Path) -> Path:
    """Return an unused path beside `path`, in a folder that exists and holds no leftovers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _delete_leftovers(path.parent.absolute())
    name = path.name[:32]  # with the rest at most 255 bytes
    return path.with_name(f".{name}{_MARK}{os.getpid()}-{secrets.token_hex(8)}")


@cache  # once per process: a folder may hold millions of files
def _delete_leftovers(folder: Path) -> None:
    """Delete what killed processes of this machine have left in a folder."""
    for left in folder.glob(f".*{glob.escape(_MARK)}*"):
        pid = left.name.rpartition(_MARK)[2].partition("-")[0]
        if pid.isdigit() and not _alive(int(pid)):
            with suppress(OSError):  # another user's, or another thread is at it
                _delete(left)


def _delete(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        with suppress(PermissionError):  # another user's
            os.kill(pid, 0)
        return True
    return False


def md5_of(path: Path) -> str | None:
    """Return the md5 of a file as DVC writes it, in hexadecimal digits; None if there is no file."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def visible_files(folder: Path) -> list[Path]:
    """Return all files under a folder, through links too, but for hidden ones; in the order of their names.

    Raises `OSError` for a folder that cannot be read.
    """

    def stop(error: OSError) -> NoReturn:
        raise error

    visible: list[Path] = []
    visited = set()
    for name, folders, files in os.walk(folder, followlinks=True, onerror=stop):
        real = os.path.realpath(name)
        if real in visited:  # a link to a folder above, or a second one to the same
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(sub for sub in folders if not sub.startswith("."))
        visible += [Path(name, file) for file in sorted(files) if not file.startswith(".")]
    return [file for file in visible if file.is_file()]


def missing(path: Path, stage: str, what: str = "file") -> InputError:
    """Return the error that `stage` has not written `path`: what is running, or what continues."""
    with suppress(OSError):
        for pid in re.findall(r'"pid": (\d+)', RWLOCK.read_text(encoding="utf-8")):
            if _alive(int(pid)) and "DVC_STAGE" not in os.environ:
                return InputError(f"{path}: no such {what} yet; DVC is running (process {pid}): wait for it")
    return InputError(f"{path}: no such {what}; {stage} has not run to its end: `dvc repro` continues")


def read_json(path: Path, stage: str, kind: type[T]) -> T:
    """Read the JSON that `stage` wrote; raises `InputError` if it is missing or not of the `kind`."""
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes(), strict=True)
    except FileNotFoundError:
        raise missing(path, stage) from None
    except ValidationError as error:
        problem = error.errors()[0]
        what = ": ".join(filter(None, (".".join(map(str, problem["loc"])), problem["msg"])))
        raise InputError(f"{path}: damaged ({what}); `dvc repro` makes it again") from None
