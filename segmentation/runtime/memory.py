"""Memory: how the CPU keeps it, how much was needed, and the error when it runs out."""

import contextlib
import ctypes
import re
import sys
from collections.abc import Iterator

import torch

from segmentation.common.errors import Fault

# As torch's allocator, oneDNN and OpenCV put it; the last one is oneDNN that finds no room for its code.
_NO_MEMORY = re.compile(
    "can't allocate|not enough memory|insufficient memory|out of memory|bad_alloc"
    "|could not create a primitive(?! descriptor)",
    re.I,
)

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # glibc, malloc.h


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next step.

    By default it returns large blocks to the system, and every step pays for getting all of its memory
    again, page by page.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library, or Windows
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)


@contextlib.contextmanager
def enough_memory(work: str, remedy: str) -> Iterator[None]:
    """Turn "out of memory", of any device and library, into a `Fault` that names `work` and `remedy`."""
    try:
        yield
    except Fault:
        raise
    except Exception as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not _NO_MEMORY.search(str(error)):
            raise
        raise Fault(f"out of memory with {work}; {remedy}") from None


def peak_memory(device: torch.device) -> int:
    """The most bytes that this process has held: on the GPU, or in memory where there is none."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
