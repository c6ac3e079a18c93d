"""Errors that a user can cause or meet, and how a stage reports them.

One line on standard error, no traceback: what is wrong, where, what to do.
Exit status 2 for bad input, 1 for a fault of the machine or of the run, 128 + N for signal N.
Anything else is a defect of this program and keeps its traceback.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from segmentation.common.signals import Interrupted, listen, quit_during_imports

quit_during_imports()


class InputError(Exception):
    """The user's input is wrong: params, data, addresses. Exit status 2."""


class Fault(Exception):
    """The input may be right, but the run cannot go on: a full disk, a diverged loss. Exit status 1."""


def run(main: Callable[[], None]) -> None:
    """Run a stage's `main` and turn its errors into one line and an exit status."""
    name = Path(sys.argv[0]).stem
    listen()
    try:
        main()
    except InputError as error:
        status, message = 2, f"error: {error}"
    except Fault as error:
        status, message = 1, f"error: {error}"
    except OSError as error:
        status, message = 1, f"error: {reason(error)}"
    except Interrupted as stop:
        sys.exit(stop.say(name))
    else:
        return
    # One write, where print makes two: processes that fail together must not break each other's lines.
    sys.stderr.write(f"{name}: {' '.join(message.split())}\n")
    sys.exit(status)


def reason(error: OSError) -> str:
    """Where and what, as in `data/x.json: No space left on device`."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"
