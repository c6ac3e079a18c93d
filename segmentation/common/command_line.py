"""What all stages and tools share as commands: `--help`, arguments, and how they end.

An error is one line on standard error, no traceback: what is wrong, where, what to do. Exit status 2 for
bad input, 1 for a fault of the machine or of the run, 128 + N for signal N.
"""

import argparse
import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from segmentation.common.errors import Fault, InputError, reason
from segmentation.common.signals import Interrupted, end_at_once, listen


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose errors are `InputError`."""

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments."""
        raise InputError(f"{message}; see `{self.prog} --help`")


def path_argument(text: str) -> Path:
    """Return a path with ~ replaced by the home folder: shells leave the one in --out=~/masks as it is."""
    return Path(os.path.expanduser(text))


def checked(read: Callable[[str], Any], holds: Callable[[Any], bool], allowed: str) -> Callable[[str], Any]:
    """Return the type of an argument: what `read` makes of it, if that `holds`, which `allowed` says."""

    def argument(text: str) -> Any:
        with suppress(ValueError):
            if holds(value := read(text)):
                return value
        raise argparse.ArgumentTypeError(f"{text}: allowed: {allowed}")

    return argument


def make_parser(description: str | None) -> Parser:
    """Return a parser without arguments for the module that runs, with its docstring as `description`."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)  # None for a script
    prog = f"python -m {spec.name}" if spec else Path(sys.argv[0]).name
    formatter = argparse.RawDescriptionHelpFormatter
    return Parser(prog=prog, description=description, formatter_class=formatter, allow_abbrev=False)


def run(main: Callable[..., None], parser: argparse.ArgumentParser) -> None:
    """Call `main` with the parsed arguments as keywords; turn its errors into one line and an exit status."""
    name, status, message = Path(sys.argv[0]).stem, 0, ""
    listen()
    if isinstance(sys.stdout, io.TextIOWrapper):  # None where it was closed before the start
        sys.stdout.reconfigure(errors="backslashreplace")  # the name of a file may not be printable
    try:
        try:
            main(**vars(parser.parse_args()))
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except InputError as error:
        status, message = 2, f"error: {error}"
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(("segmentation", "stages", "tools")):
            raise
        remedy = "`make setup`, or where there is no clone the extras export, serve, train"
        status, message = 2, f"error: needs {error.name}; {remedy}"
    except Fault as error:
        status, message = 1, f"error: {error}"
    except BrokenPipeError:  # the reader of standard output has ended, as `| head` does
        _discard_output()
        status, message = 128 + 13, ""  # as if SIGPIPE had ended it
    except OSError as error:
        _discard_output()  # in case it is the one that cannot be written
        status, message = 1, f"error: {reason(error)}"
    except Interrupted as stop:
        status, message = 128 + stop.signum, "" if os.environ.get("RANK", "0") != "0" else str(stop)
    end_at_once(status)
    # One write, where print makes two: processes that fail together must not break each other's lines.
    sys.stderr.write(f"{name}: {' '.join(message.split())}\n" if message else "")
    if status:
        sys.exit(status)


def _discard_output() -> None:
    """Discard what standard output still holds: Python's own flush at exit would fail with a traceback."""
    with suppress(OSError, ValueError, AttributeError):  # it may be closed, or have no file descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
