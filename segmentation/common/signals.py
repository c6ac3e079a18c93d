"""Requests to stop: SIGINT, SIGTERM, and the death of the parent process.

A stage is interrupted at once; training first finishes its step (`deferred`). DVC and `torchrun` may be
killed (`kill -9`), and the processes that they started would keep running and overwrite the outputs of the
next run. So a process sends itself SIGTERM as soon as its parent is gone.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
WATCH_S = 0.3  # how often the parent process is checked

_PARENT = os.getppid()

Handler = Callable[[int, FrameType | None], None]


class Interrupted(BaseException):
    """A signal ended the run; exit status 128 + its number. No error, so no `except Exception` takes it."""

    def __init__(self, signum: int, where: str = "; run it again") -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}{where}")
        self.signum = signum

    def say(self, name: str) -> int:
        """Print one line, from rank 0 only, and return the exit status."""
        if os.environ.get("RANK", "0") == "0":
            os.write(2, f"{name}: {self}\n".encode())
        return 128 + self.signum


class StopRequest:
    """The signal that asked this process to stop; 0 for none."""

    signum = 0


def listen() -> None:
    """Raise `Interrupted` on a signal from now on; stop with the parent if that is DVC or `torchrun`."""
    if threading.current_thread() is not threading.main_thread():
        return  # only the main thread may set handlers
    _handle(_raise)
    if "DVC_STAGE" in os.environ or "TORCHELASTIC_RUN_ID" in os.environ:
        threading.Thread(target=_end_with_parent, daemon=True).start()


@contextmanager
def deferred(second_interrupts: bool) -> Iterator[StopRequest]:
    """Only record a signal until the block ends, unless it is a second SIGINT and `second_interrupts`."""
    request = StopRequest()

    def record(signum: int, frame: FrameType | None) -> None:
        if request.signum and second_interrupts and signum == signal.SIGINT:
            _raise(signum, frame)
        request.signum = request.signum or signum

    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = _handle(record)
    try:
        yield request
    finally:
        for each, handler in zip(SIGNALS, before, strict=True):
            signal.signal(each, handler)


def ignore(*_: object) -> None:
    """Ignore both signals: the parent process stops its loader workers itself."""
    _handle(signal.SIG_IGN)


def main_module() -> str | None:
    """Return the name of the module that `python -m` runs; None for a script."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec else None


def quit_during_imports() -> None:
    """Let a signal end a stage or tool in one line during its imports, where no exception can be caught."""
    if (main_module() or "").startswith(("stages.", "tools.")):
        _handle(_quit)


def _handle(handler: Handler | signal.Handlers) -> list[Handler | signal.Handlers | int | None]:
    return [signal.signal(each, handler) for each in SIGNALS]


def _raise(signum: int, _: FrameType | None) -> NoReturn:
    raise Interrupted(signum)


def _quit(signum: int, _: FrameType | None) -> NoReturn:
    os._exit(Interrupted(signum).say((main_module() or "").split(".")[-1]))


def _end_with_parent() -> None:
    while os.getppid() == _PARENT:
        time.sleep(WATCH_S)
    os.kill(os.getpid(), signal.SIGTERM)
