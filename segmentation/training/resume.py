"""Where a training that was stopped goes on from: one file for each training, outside of DVC's outputs.

DVC deletes the outputs of a stage before it runs it again, and queued experiments run in folders of their
own, so a state lies in a folder of the user. Its name is the hash of all that decides the result: a training
finds the state of its own kind, or none. While it runs it holds the lock of that name.

A state file is one line of JSON, then what `torch.save` writes, then the SHA-256 of both.
"""

import hashlib
import io
import json
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any, cast

import torch
from filelock import FileLock, Timeout
from platformdirs import user_state_path

from segmentation.common.errors import Fault, reason
from segmentation.common.files import replaced

GRACE_S = 15.0  # how long the lock is waited for: a process that was told to end finishes its step first
FORGOTTEN_S = 30 * 24 * 3600.0  # after which a state that nobody came back to is deleted
NAMED = 4  # differences that are named
DIGEST = 64  # bytes of the checksum

Inputs = Mapping[str, Any]  # all that decides the result, by name: what JSON can hold


class States:
    """The states of this user's trainings; this training is that of the network `name` on `inputs`."""

    def __init__(self, name: str, inputs: Inputs, folder: Path | None = None) -> None:
        self.name, self.inputs = name, json.loads(json.dumps(inputs, sort_keys=True))
        self.folder = folder or user_state_path("binary-segmentation-pipeline", appauthor=False)
        digest = hashlib.sha256(json.dumps(self.inputs).encode()).hexdigest()
        self.path = self.folder / f"{name}-{digest[:32]}.state"
        self.lock = self.path.with_suffix(".lock")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold this training's lock; states that were forgotten are deleted.

        Raises `Fault` that names the process which has the lock, and where the folder cannot be written.
        """
        lock = FileLock(self.lock)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._forget()
            lock.acquire(timeout=GRACE_S, poll_interval=0.1)
            holder = {"pid": os.getpid(), "host": socket.gethostname(), "folder": str(Path.cwd())}
            self.lock.write_text(json.dumps(holder))
        except Timeout:
            raise Fault(f"{self._holder()} is at this very training; wait for its end, or stop it") from None
        except OSError as error:
            raise Fault(f"{reason(error)}; set XDG_STATE_HOME to a folder that can be written") from error
        try:
            yield
        finally:
            self.lock.unlink(missing_ok=True)  # before its release: filelock knows a lock whose file is gone
            lock.release()

    def load(self) -> dict[str, Any] | None:
        """Return the state of this training, on the CPU, or None.

        Says on standard error why there is none, where one might be expected.
        """
        try:
            with self.path.open("rb") as file:
                header, content = file.readline(), memoryview(file.read())
        except FileNotFoundError:
            self._say_why_afresh()
            return None
        state, digest = content[:-DIGEST], content[-DIGEST:]
        if hashlib.sha256(header + state).hexdigest().encode() == digest:
            with suppress(Exception):  # what is whole but torch refuses was not written here
                loaded = torch.load(io.BytesIO(state), weights_only=True, map_location="cpu")
                return cast(dict[str, Any], loaded)
        aside = self.path.with_suffix(".damaged")
        self.path.replace(aside)
        self._say(f"{self.path} is damaged: set aside as {aside.name}; training starts afresh")
        return None

    def save(self, state: dict[str, Any], epochs: int) -> None:
        """Replace the state on disk, atomically, after `epochs` finished ones."""
        header = {"epochs": epochs, "inputs": self.inputs}
        with replaced(self.path) as file:
            hashed = _Hashed(file)
            hashed.write(json.dumps(header).encode() + b"\n")
            try:
                torch.save(state, cast(IO[bytes], hashed))
            except RuntimeError as error:  # torch's own, for a failed write
                raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None
            file.write(hashed.sha256.hexdigest().encode())
        with suppress(OSError):
            os.utime(self.lock)  # so that a long training's lock is not forgotten

    def discard(self) -> None:
        """Delete the state: the training is finished."""
        self.path.unlink(missing_ok=True)

    def _holder(self) -> str:
        try:
            holder = json.loads(self.lock.read_text())
            since = _when(self.lock)
            return f"process {holder['pid']} on {holder['host']}, in {holder['folder']} ({since}),"
        except (OSError, ValueError, KeyError, TypeError):
            return f"another process, which holds {self.lock},"

    def _forget(self) -> None:
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > FORGOTTEN_S:
                    path.unlink()

    def _say_why_afresh(self) -> None:
        """Name what differs from the latest training of this network that was stopped, if there is one."""
        states = self.folder.glob(f"{self.name}-*.state")
        stopped = [path for path in states if not _locked(path.with_suffix(".lock"))]
        if not stopped:
            return
        latest = max(stopped, key=lambda path: path.stat().st_mtime)
        with suppress(OSError, ValueError, KeyError, TypeError):
            with latest.open("rb") as file:
                header = json.loads(file.readline())
            found = differences(header["inputs"], self.inputs)
            more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
            self._say(
                f"starts afresh; the training that stopped after epoch {header['epochs']} ({_when(latest)})"
                f" was another one: {', '.join(found[:NAMED])}{more}"
            )

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


def differences(theirs: Inputs, mine: Inputs) -> list[str]:
    """Name what differs between two trainings: `train.lr 0.1 -> 0.2`, or only the name of what is long."""
    changed = {name: (theirs.get(name), mine.get(name)) for name in {**mine, **theirs}}
    pairs = {name: f"{old} -> {new}" for name, (old, new) in changed.items() if old != new}
    return [f"{name} {pair}" if len(pair) < DIGEST else f"another {name}" for name, pair in pairs.items()]


def _locked(path: Path) -> bool:
    lock = FileLock(path)
    try:
        if path.exists():  # else the lock would make it
            lock.acquire(blocking=False)
    except Timeout:
        return True
    lock.release()
    return False


def _when(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime).strftime("%Y-%m-%d %H:%M")
