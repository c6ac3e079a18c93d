"""Progress that a person sees: a bar on a terminal; in a log a line now and then."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

LINE_EVERY_S = 30.0  # in a log, which keeps every line
LINE = "{desc}: {n_fmt} of {total_fmt}{postfix}, {remaining} left"


class _Lines:
    """A file for tqdm, which draws its bar over and over: as lines on standard error."""

    def write(self, text: str) -> None:
        if line := text.strip():
            print(line, file=sys.stderr, flush=True)

    def flush(self) -> None:
        pass


def progress(
    items: Iterable[Any] | None,
    title: str,
    total: int | None,
    *,
    line: str = LINE,
    bar: str | None = None,
    hidden: bool = False,
    **options: Any,
) -> "tqdm[Any]":
    """Return `items`, `total` of them, with progress as they are taken; None: by calls of `update`.

    What takes less than `LINE_EVERY_S` leaves no line in a log. `line` and `bar` are tqdm's formats of a line
    and of its bar, `options` its other arguments.
    """
    if sys.stderr and sys.stderr.isatty():  # None where it was closed before the start
        options["bar_format"] = bar
    else:
        options |= {"file": _Lines(), "mininterval": LINE_EVERY_S, "delay": LINE_EVERY_S, "bar_format": line}
        options |= {"miniters": 1, "maxinterval": LINE_EVERY_S}
    return tqdm(items, title, total, leave=False, disable=hidden, **options)
