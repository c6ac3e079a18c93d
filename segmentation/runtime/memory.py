"""Memory: how the CPU keeps it, and what a person can do when it runs out."""

import contextlib
import ctypes
import re
from collections.abc import Iterator

import torch

from segmentation.common.errors import Fault

# As torch's allocator, oneDNN and OpenCV put it.
_NO_MEMORY = re.compile("can't allocate|not enough memory|insufficient memory|out of memory|bad_alloc", re.I)

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # glibc, malloc.h


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next step.

    By default it returns large blocks to the system, and every step pays for getting all of its memory
    again, page by page.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)


@contextlib.contextmanager
def enough_memory(batch_size: int, size: int, remedy: str) -> Iterator[None]:
    """Turn "out of memory", of whichever device and library, into a `Fault` that says what to do.

    A step takes `batch_size` images of `size` x `size` pixels.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not _NO_MEMORY.search(str(error)):
            raise
        step = f"{batch_size} images of {size}x{size} pixels a step"
        raise Fault(f"out of memory with {step}; {remedy}") from None
