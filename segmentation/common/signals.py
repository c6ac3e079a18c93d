"""Requests to stop: SIGINT, SIGTERM, and the death of the parent process.

A stage is interrupted at once; training first finishes its step (`deferred`). If DVC or `torchrun` is killed
(`kill -9`), what they started must not overwrite the next run's outputs: it sends itself SIGTERM.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# An exception raised in these can leave a lock taken, which a thread then waits for, or an object half made.
UNSAFE = ("threading", "weakref", "_weakrefset", "importlib", "tqdm")
AGAIN_S = 0.01  # how soon a signal that came in one of them is tried again
WATCH_S = 0.3  # how often the parent process is checked


class Interrupted(BaseException):
    """A signal ended the run; exit status 128 + its number. Not an error: `except Exception` lets it pass."""

    def __init__(self, signum: int, where: str = "; run it again") -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}{where}")
        self.signum = signum


class StopRequest:
    """The signal that asked this process to stop; 0 for none."""

    signum = 0


def listen() -> None:
    """Raise `Interrupted` on a signal from now on; stop with the parent if that is DVC or `torchrun`."""
    for signum in SIGNALS:
        signal.signal(signum, _interrupt)
    sys.unraisablehook = _not_raised
    if "DVC_STAGE" in os.environ or "TORCHELASTIC_RUN_ID" in os.environ:
        threading.Thread(target=_end_with_parent, daemon=True).start()


def end_at_once(status: int) -> None:
    """From now on a signal ends this process with `status`; while Python ends, it would print a traceback."""
    for signum in SIGNALS:
        signal.signal(signum, lambda *_: os._exit(status))


@contextmanager
def deferred() -> Iterator[StopRequest]:
    """Only record a signal until the block ends."""
    request = StopRequest()

    def record(signum: int, _: FrameType | None) -> None:
        request.signum = request.signum or signum

    handlers = {signum: signal.signal(signum, record) for signum in SIGNALS}
    try:
        yield request
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    while frame and frame.f_globals is globals():
        frame = frame.f_back
    if frame and frame.f_globals.get("__name__", "").partition(".")[0] in UNSAFE:
        _again(signum)
    else:
        raise Interrupted(signum)


def _again(signum: int) -> None:
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signum))
    signal.setitimer(signal.ITIMER_REAL, AGAIN_S)


def _not_raised(dropped: "sys.UnraisableHookArgs") -> None:
    if isinstance(dropped.exc_value, Interrupted):  # in a callback, or by a library
        _again(dropped.exc_value.signum)
    else:
        sys.__unraisablehook__(dropped)


def _parents() -> tuple[int, int]:
    """Return the parent process, and the parent of that if it is the shell by which DVC starts a stage, or 0.

    Some shells replace themselves by the command that they are given; Debian's does not.
    """
    parent = os.getppid()
    with suppress(OSError):  # not Linux, or gone
        name, _, rest = Path(f"/proc/{parent}/stat").read_text().partition("(")[2].rpartition(") ")
        if name in ("sh", "dash"):
            return parent, int(rest.split()[1])
    return parent, 0


_PARENTS = _parents()


def _is_orphan() -> bool:
    """Whether DVC was killed before this process looked: then it is a child of what adopts orphans."""
    starter = _PARENTS[1] or _PARENTS[0]
    with suppress(OSError):
        adopts = starter == 1 or Path(f"/proc/{starter}/comm").read_text() == "systemd\n"
        return "DVC_STAGE" in os.environ and adopts and os.getsid(starter) != os.getsid(0)
    return False


def _end_with_parent() -> None:
    while _parents() == _PARENTS and not _is_orphan():
        time.sleep(WATCH_S)
    while True:  # again, because a library may swallow the exception
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30 * WATCH_S)
