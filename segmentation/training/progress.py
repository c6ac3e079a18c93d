"""What a person sees while an epoch runs, and how long it waited for images."""

import time
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

from segmentation.loading.dataset import Item
from segmentation.runtime.distributed import rank


def bar_of(title: str, total: int, initial: int = 0) -> "tqdm[Any]":
    """Return a progress bar of batches: of the first process, and if there is a terminal."""
    return tqdm(total=total, initial=initial, desc=title, leave=False, disable=True if rank() else None)


def timed(batches: Iterator[Item]) -> Iterator[tuple[Item, float]]:
    """Yield each batch with the seconds spent waiting for it."""
    requested = time.perf_counter()
    for batch in batches:
        yield batch, time.perf_counter() - requested
        requested = time.perf_counter()
