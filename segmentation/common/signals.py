"""Being told to end: SIGINT, SIGTERM, and the end of the process that started this one.

A stage is interrupted at once; training asks to be left until its step is done (`deferred`). DVC and
`torchrun` may die without a word (`kill -9`), and what they started would go on and overwrite the outputs
of the next run: it is told to end by SIGTERM as soon as its parent is gone.
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
WATCH_S = 0.3  # how often the parent is looked for

_PARENT = os.getppid()

Handler = Callable[[int, FrameType | None], None]


class Interrupted(BaseException):
    """A signal ended the run; exit status 128 + its number. No error, so no `except Exception` takes it."""

    def __init__(self, signum: int, where: str = "; run it again") -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}{where}")
        self.signum = signum

    def say(self, name: str) -> int:
        """Print one line, which one of the processes that train together says for all; the exit status."""
        if os.environ.get("RANK", "0") == "0":
            os.write(2, f"{name}: {self}\n".encode())
        return 128 + self.signum


class Asked:
    """Which signal has asked this process to end; 0 for none."""

    signum = 0


def listen() -> None:
    """Raise `Interrupted` on a signal from now on; end with the parent where that is DVC or `torchrun`."""
    if threading.current_thread() is not threading.main_thread():
        return  # only the main thread may, and there the program is not ours
    _handle(_raise)
    if "DVC_STAGE" in os.environ or "TORCHELASTIC_RUN_ID" in os.environ:
        threading.Thread(target=_end_with_parent, daemon=True).start()


@contextmanager
def deferred(insistent: bool) -> Iterator[Asked]:
    """Only note a signal until the block ends; a second SIGINT interrupts at once if `insistent`."""
    asked = Asked()

    def note(signum: int, frame: FrameType | None) -> None:
        if asked.signum and insistent and signum == signal.SIGINT:
            _raise(signum, frame)
        asked.signum = asked.signum or signum

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = _handle(note)
    try:
        yield asked
    finally:
        for each, handler in zip(SIGNALS, before, strict=True):
            signal.signal(each, handler)


def ignore(*_: object) -> None:
    """Leave it to the parent process to end this one: for the loader's processes."""
    _handle(signal.SIG_IGN)


def quit_during_imports() -> None:
    """Let a signal end a stage in one line while it imports, where nobody could catch an exception."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None and spec.name.startswith(("stages.", "tools.")):
        _handle(_quit)


def _handle(handler: Handler | signal.Handlers) -> list[Handler | signal.Handlers | int | None]:
    return [signal.signal(each, handler) for each in SIGNALS]


def _raise(signum: int, _: FrameType | None) -> NoReturn:
    raise Interrupted(signum)


def _quit(signum: int, _: FrameType | None) -> NoReturn:
    name = sys.modules["__main__"].__spec__.name  # type: ignore[union-attr]
    os._exit(Interrupted(signum).say(name.split(".")[-1]))


def _end_with_parent() -> None:
    while os.getppid() == _PARENT:
        time.sleep(WATCH_S)
    os.kill(os.getpid(), signal.SIGTERM)
