"""The state from which a stopped training resumes: one file for each training, outside DVC's outputs.

DVC deletes the outputs of a stage before it runs it again, and queued experiments run in folders of their
own, so states are kept in a folder of the user. The name of a state is the hash of the training's
fingerprint: a training finds its own state, or none. While it runs, it holds the lock of that name.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from platformdirs import user_state_path

from segmentation.common.errors import Fault, reason
from segmentation.common.files import atomic_write
from segmentation.common.leaves import differences
from segmentation.models.checkpoints import read_archive, save_archive
from segmentation.training.fingerprint import Fingerprint

GRACE_S = 15.0  # to wait for the lock: a process that was told to stop finishes its step first
ABANDONED_S = 30 * 24 * 3600.0  # after which a state that nobody resumed is deleted


class ResumeState:
    """The state of one training: that of the network `name` with this `fingerprint`."""

    def __init__(self, name: str, fingerprint: Fingerprint, folder: Path | None = None) -> None:
        self.name = name
        self.fingerprint = json.dumps(fingerprint, sort_keys=True)
        self.folder = folder or user_state_path("binary-segmentation-pipeline", appauthor=False)
        digest = hashlib.sha256(self.fingerprint.encode()).hexdigest()
        self.path = self.folder / f"{name}-{digest[:32]}.state"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold this training's lock; delete abandoned files.

        Raises `Fault` if another process holds it, or if the folder cannot be written.
        """
        path = self.path.with_suffix(".lock")
        lock = FileLock(path)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for file in self.folder.iterdir():
                if file.suffix != ".lock" and _modified(file) < time.time() - ABANDONED_S:
                    file.unlink(missing_ok=True)
            lock.acquire(timeout=GRACE_S)
            path.write_text(str(os.getpid()))
        except Timeout:
            holder = path.read_text() if path.exists() else "?"
            raise Fault(f"process {holder} runs this training; wait for its end, or stop it") from None
        except OSError as error:
            raise Fault(f"{reason(error)}; set XDG_STATE_HOME to a writable folder") from error
        try:
            yield
        finally:
            path.unlink(missing_ok=True)  # before its release: filelock knows a lock whose file is gone
            lock.release()

    def load(self) -> dict[str, Any] | None:
        """Return the state of this training, on the CPU; or None, and say why if one could be expected."""
        try:
            return read_archive(self.path)
        except FileNotFoundError:
            self._say_what_differs()
            return None
        except (PermissionError, MemoryError):
            raise
        except Exception:  # a damaged file can fail in any of torch's readers
            aside = self.path.replace(self.path.with_suffix(".damaged"))
            self._say(f"{self.path} is damaged: moved to {aside.name}; training starts from the beginning")
            return None

    def save(self, state: dict[str, Any]) -> None:
        """Replace the state on disk, atomically."""
        with atomic_write(self.path) as file:
            save_archive({"fingerprint": self.fingerprint, **state}, file)
        self.path.with_suffix(".said").unlink(missing_ok=True)

    def discard(self) -> None:
        """Delete the state: the training is finished."""
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".said").unlink(missing_ok=True)

    def _say_what_differs(self) -> None:
        """Name what differs from the latest unfinished training of this network; once for each of them."""
        latest = max(self.folder.glob(f"{self.name}-*.state"), key=_modified, default=None)
        if latest is None or (said := latest.with_suffix(".said")).exists():
            return
        said.touch()
        try:
            theirs = torch.load(latest, map_location="cpu", weights_only=True, mmap=True)["fingerprint"]
            changes = differences(json.loads(theirs), json.loads(self.fingerprint))
        except FileNotFoundError:  # that training has just ended
            return said.unlink(missing_ok=True)
        except Exception:  # a foreign file can fail in any of torch's readers
            changes = "the version of this program"
        self._say(f"starts from the beginning; the latest unfinished training differs: {changes}")

    def _say(self, text: str) -> None:
        print(f"{self.name}: {text}", file=sys.stderr)


def _modified(path: Path) -> float:
    with suppress(FileNotFoundError):  # of a training that has just ended
        return path.stat().st_mtime
    return time.time()
