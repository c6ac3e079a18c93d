"""What the benchmarks share: sides that take turns, processes of their own, tables and verdicts."""

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stdout
from typing import ParamSpec, TypeVar

from segmentation.common.errors import Fault

Arguments = ParamSpec("Arguments")
Side = TypeVar("Side", bound=Hashable)
Result = TypeVar("Result")


def seconds(work: Callable[Arguments, object], *args: Arguments.args, **kwargs: Arguments.kwargs) -> float:
    """Return the wall time of one call."""
    started = time.perf_counter()
    work(*args, **kwargs)
    return time.perf_counter() - started


def in_turn(
    sides: Mapping[Side, Callable[[], Result]], rounds: int, warm_up: bool = False
) -> dict[Side, list[Result]]:
    """Return what each side measured in each round; the sides take turns. A round to warm up is dropped."""
    results: dict[Side, list[Result]] = {side: [] for side in sides}
    for number in range(rounds + warm_up):
        for side, measure in sides.items():
            result = measure()
            if number >= warm_up:
                results[side].append(result)
    return results


def in_a_process(measure: Callable[..., Result], *arguments: object) -> Result:
    """Call a function in a new process, so that no side profits from another's memory.

    What it prints goes to standard error. Raises what the function raises, and `Fault` if it was killed.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(_with_stdout_to_stderr, measure, *arguments).result()
        except BrokenProcessPool:
            raise Fault("the process that measures was killed") from None
        except BaseException:
            for process in multiprocessing.active_children():  # after a signal it would go on
                process.kill()
            raise


def _with_stdout_to_stderr(measure: Callable[..., Result], *arguments: object) -> Result:
    with redirect_stdout(sys.stderr):
        return measure(*arguments)


def median_and_range(values: Sequence[float], digits: int) -> str:
    """Return the median of some values, and the lowest and highest of them."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def print_table(rows: Sequence[Mapping[str, str]]) -> None:
    """Print rows, whose keys are the titles of the columns."""
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for first, *others in lines:
        cells = [f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)]
        print("  ".join([f"{first:<{widths[0]}}", *cells]), flush=True)


def print_verdict(claim: str, holds: bool) -> None:
    """Print a claim, and whether it holds."""
    print(f"{claim}: {'yes' if holds else 'NO'}", flush=True)
