"""Decoded images, kept in memory: decoding and resizing cost more than all random changes."""

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from mmap import mmap
from pathlib import Path
from typing import Any

import numpy as np
from torch.distributed import get_node_local_rank

from segmentation.common.geometry import Image, Mask
from segmentation.runtime.distributed import all_gather, rank, world_size


def decoded_bytes(shapes: Sequence[tuple[int, int]]) -> int:
    """Return the bytes of images `(H, W, 3)` and masks `(H, W)`, uint8, of these heights and widths."""
    return sum(4 * height * width for height, width in shapes)


class ImageCache:
    """Memory for images and masks of these `shapes`, heights and widths, each filled at its first read.

    The loader's workers and all processes that train on this machine fill and read the same memory. Where
    several fill in the same image, they write the same bytes, so no lock is needed. In a copy by pickle,
    as workers get that are not forked, the memory is its own, and empty.
    """

    def __init__(self, shapes: Sequence[tuple[int, int]]) -> None:
        self.shapes, count = shapes, len(shapes)
        self._memory = shared_memory(count + decoded_bytes(shapes))
        self._filled = np.frombuffer(self._memory, np.bool_, count)
        self._starts = count + np.cumsum([0, *(4 * height * width for height, width in shapes)])

    def __reduce__(self) -> tuple[Any, ...]:
        return ImageCache, (self.shapes,)

    def get(self, index: int, read: Callable[[int], tuple[Image, Mask]]) -> tuple[Image, Mask]:
        """Return the image and mask at `index`, not to be changed; `read` makes them at the first call."""
        height, width = self.shapes[index]
        start, pixels = int(self._starts[index]), height * width
        image = np.frombuffer(self._memory, np.uint8, 3 * pixels, start).reshape(height, width, 3)
        mask = np.frombuffer(self._memory, np.uint8, pixels, start + 3 * pixels).reshape(height, width)
        if not self._filled[index]:
            image[:], mask[:] = read(index)
            self._filled[index] = True
        return image, mask


def make_caches(parts: Sequence[Sequence[tuple[int, int]]], limit: int) -> list[ImageCache | None]:
    """Return a cache for each of several sets of images, given by their heights and widths.

    None for each if on some machine they exceed its `limit` in bytes, or what the system grants. All
    processes that train together must call it together.
    """
    if all(all_gather(sum(map(decoded_bytes, parts)) <= limit)):
        with suppress(OSError):
            return [ImageCache(shapes) for shapes in parts]
    return [None for _ in parts]


def shared_memory(size: int) -> mmap:
    """Return `size` zeroed bytes that forked processes share, and all that train on this machine.

    All processes that train together must call it together. Unlike shared memory with a name, it needs no
    room in /dev/shm, where containers often have 64 MB, and ends with its processes, however they end.
    Raises `OSError` if the system does not grant it.
    """
    if world_size() == 1:
        return mmap(-1, size)
    with ExitStack() as stack:  # the files, which the mappings outlive
        path, local_rank = None, get_node_local_rank()  # torchrun sets it
        if local_rank == 0 and hasattr(os, "memfd_create"):
            with suppress(OSError):
                mine = stack.enter_context(os.fdopen(os.memfd_create("images"), "r+b"))
                mine.truncate(size)
                path = f"/proc/{os.getpid()}/fd/{mine.fileno()}"
        memory, first = None, all_gather(path)[rank() - local_rank]
        if first:
            with suppress(OSError), Path(first).open("r+b") as file:
                memory = mmap(file.fileno(), size)
        everywhere = all(all_gather(memory is not None))  # by now all have opened it
    return memory if memory and everywhere else mmap(-1, size)  # or each its own
