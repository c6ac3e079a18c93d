"""The state from which a stopped training resumes: one file for each training, outside DVC's outputs.

DVC deletes the outputs of a stage before it runs it again, and queued experiments run in folders of their
own, so a state lies in a folder of the user. Its name is the hash of the training's fingerprint, all that
decides the result: a training finds its own state, or none. While it runs, it holds the lock of that name.

A state file is one line of JSON, then what `torch.save` writes, then the SHA-256 of both.
"""

import hashlib
import io
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any, cast

import torch
from filelock import FileLock, Timeout
from platformdirs import user_state_path

from segmentation.common.errors import Fault, reason
from segmentation.common.files import replaced
from segmentation.training.fingerprint import Fingerprint

GRACE_S = 15.0  # to wait for the lock: a process that was told to stop finishes its step first
ABANDONED_S = 30 * 24 * 3600.0  # after which an abandoned state is deleted
NAMED = 4  # differences that a message names
DIGEST = 64  # bytes of the checksum
VERSION = 2  # of the state file and of what it holds


class ResumeState:
    """The state of one training: that of the network `name` with this `fingerprint`."""

    def __init__(self, name: str, fingerprint: Fingerprint, folder: Path | None = None) -> None:
        self.name = name
        self.fingerprint = json.loads(json.dumps(fingerprint, sort_keys=True))
        self.folder = folder or user_state_path("binary-segmentation-pipeline", appauthor=False)
        digest = hashlib.sha256(json.dumps([VERSION, self.fingerprint]).encode()).hexdigest()
        self.path = self.folder / f"{name}-{digest[:32]}.state"
        self.lock = self.path.with_suffix(".lock")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold this training's lock; delete abandoned states.

        Raises `Fault` that names the process that holds the lock, or if the folder cannot be written.
        """
        lock = FileLock(self.lock)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._delete_abandoned()
            lock.acquire(timeout=GRACE_S, poll_interval=0.1)
            holder = {"pid": os.getpid(), "host": socket.gethostname(), "folder": str(Path.cwd())}
            self.lock.write_text(json.dumps(holder))
        except Timeout:
            raise Fault(f"{self._holder()} runs this training; wait for its end, or stop it") from None
        except OSError as error:
            raise Fault(f"{reason(error)}; set XDG_STATE_HOME to a writable folder") from error
        try:
            yield
        finally:
            self.lock.unlink(missing_ok=True)  # before its release: filelock knows a lock whose file is gone
            lock.release()

    def load(self) -> dict[str, Any] | None:
        """Return the state of this training, on the CPU, or None.

        Says on standard error why there is none, if one could be expected.
        """
        try:
            with self.path.open("rb") as file:
                header, content = file.readline(), memoryview(file.read())
        except FileNotFoundError:
            self._say_why_from_the_start()
            return None
        state, digest = content[:-DIGEST], content[-DIGEST:]
        if hashlib.sha256(header + state).hexdigest().encode() == digest:
            with suppress(Exception):  # an intact file that torch refuses was not written here
                loaded = torch.load(io.BytesIO(state), weights_only=True, map_location="cpu")
                return cast(dict[str, Any], loaded)
        aside = self.path.with_suffix(".damaged")
        self.path.replace(aside)
        self._say(f"{self.path} is damaged: moved to {aside.name}; training starts from the beginning")
        return None

    def save(self, state: dict[str, Any], epochs: int) -> None:
        """Replace the state on disk, atomically, after `epochs` finished ones."""
        header = {"version": VERSION, "epochs": epochs, "fingerprint": self.fingerprint}
        with replaced(self.path) as file:
            hashed = _Hashed(file)
            hashed.write(json.dumps(header).encode() + b"\n")
            try:
                torch.save(state, cast(IO[bytes], hashed))
            except RuntimeError as error:  # torch's own, for a failed write
                raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None
            file.write(hashed.sha256.hexdigest().encode())
        with suppress(OSError):
            os.utime(self.lock)  # so that a long training's lock does not count as abandoned

    def discard(self) -> None:
        """Delete the state: the training is finished."""
        self.path.unlink(missing_ok=True)

    def _holder(self) -> str:
        try:
            holder = json.loads(self.lock.read_text())
            since = _when(self.lock)
            return f"process {holder['pid']} on {holder['host']}, in {holder['folder']} ({since}),"
        except (OSError, ValueError, KeyError, TypeError):
            return f"another process, holding {self.lock},"

    def _delete_abandoned(self) -> None:
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > ABANDONED_S:
                    path.unlink()

    def _say_why_from_the_start(self) -> None:
        """Name what differs from the latest stopped training of this network, if there is one."""
        states = self.folder.glob(f"{self.name}-*.state")
        stopped = [path for path in states if not _locked(path.with_suffix(".lock"))]
        if not stopped:
            return
        latest = max(stopped, key=lambda path: path.stat().st_mtime)
        with suppress(OSError, ValueError, KeyError, TypeError):
            with latest.open("rb") as file:
                header = json.loads(file.readline())
            stopped_at = f"the training that stopped after epoch {header['epochs']} ({_when(latest)})"
            if header.get("version") != VERSION:
                self._say(f"starts from the beginning; {stopped_at} is of another version of this program")
                return
            found = differences(header["fingerprint"], self.fingerprint)
            more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
            self._say(f"starts from the beginning; {stopped_at} differs: {', '.join(found[:NAMED])}{more}")

    def _say(self, text: str) -> None:
        sys.stderr.write(f"{self.name}: {text}\n")


class _Hashed:
    """A file that hashes what is written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.sha256 = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


def differences(theirs: Fingerprint, mine: Fingerprint) -> list[str]:
    """Name the differences of two trainings: `train.lr 0.1 -> 0.2`, or only the name of a long value."""
    changed = {name: (theirs.get(name), mine.get(name)) for name in {**mine, **theirs}}
    pairs = {name: f"{old} -> {new}" for name, (old, new) in changed.items() if old != new}
    return [f"{name} {pair}" if len(pair) < DIGEST else f"another {name}" for name, pair in pairs.items()]


def _locked(path: Path) -> bool:
    lock = FileLock(path)
    try:
        if path.exists():  # otherwise the lock would create it
            lock.acquire(blocking=False)
    except Timeout:
        return True
    lock.release()
    return False


def _when(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime).strftime("%Y-%m-%d %H:%M")
