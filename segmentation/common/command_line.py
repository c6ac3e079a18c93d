"""What all stages and tools share as commands: `--help`, arguments, and how they end.

An error is one line on standard error, no traceback: what is wrong, where, what to do. Exit status 2 for
bad input, 1 for a fault of the machine or of the run, 128 + N for signal N.
"""

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from segmentation.common.errors import Fault, InputError, reason
from segmentation.common.signals import Interrupted, listen, main_module, quit_during_imports

quit_during_imports()


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose errors are `InputError`."""

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments."""
        raise InputError(f"{message}; see `{self.prog} --help`")


def make_parser(description: str | None) -> Parser:
    """Return a parser without arguments for the module that runs, with its docstring as `description`."""
    module = main_module()
    prog = f"python -m {module}" if module else Path(sys.argv[0]).name
    formatter = argparse.RawDescriptionHelpFormatter
    return Parser(prog=prog, description=description, formatter_class=formatter, allow_abbrev=False)


def run(main: Callable[..., None], parser: argparse.ArgumentParser) -> None:
    """Call `main` with the parsed arguments as keywords; turn its errors into one line and an exit status."""
    name = Path(sys.argv[0]).stem
    listen()
    try:
        try:
            main(**vars(parser.parse_args()))
        finally:
            _flush()
    except InputError as error:
        status, message = 2, f"error: {error}"
    except Fault as error:
        status, message = 1, f"error: {error}"
    except OSError as error:
        if not _can_print() and isinstance(error, BrokenPipeError):
            sys.exit(128 + 13)  # as if SIGPIPE had ended it: its reader has ended, as `| head` does
        status, message = 1, f"error: {reason(error)}"
    except Interrupted as stop:
        sys.exit(stop.say(name))
    else:
        return
    # One write, where print makes two: processes that fail together must not break each other's lines.
    sys.stderr.write(f"{name}: {' '.join(message.split())}\n")
    sys.exit(status)


def _flush() -> None:
    if sys.stdout is not None:  # None: closed before the start
        sys.stdout.flush()


def _can_print() -> bool:
    """Whether standard output can be written; if not, discard it, so that Python's flush at exit succeeds."""
    try:
        _flush()
    except OSError:
        with suppress(OSError, ValueError):  # it may have no file descriptor
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True
