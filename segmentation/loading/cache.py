"""Decoded pictures, kept in memory: decoding and resizing cost more than all random changes."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

Picture = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # picture (H, W, 3) and mask (H, W), 0 or 1


def cached_bytes(count: int, size: int) -> int:
    """What `count` pictures of `size` x `size` pixels take, masks included."""
    return count * size * size * 4


class PictureCache:
    """Room for `count` pictures and masks of `size` x `size` pixels, each filled when it is first read.

    With `shared`, the loader's processes fill and read the same memory. No two of them ask for the same
    picture in one epoch, and between epochs they wait for each other, so there is nothing to lock.
    """

    def __init__(self, count: int, size: int, shared: bool) -> None:
        self._images = torch.empty((count, size, size, 3), dtype=torch.uint8)
        self._masks = torch.empty((count, size, size), dtype=torch.uint8)
        self._filled = torch.zeros(count, dtype=torch.bool)
        if shared:
            for tensor in (self._images, self._masks, self._filled):
                tensor.share_memory_()

    def get(self, position: int, read: Callable[[int], Picture]) -> Picture:
        """Return a copy of the picture at `position`, which `read` makes at the first call."""
        image, mask = self._images[position].numpy(), self._masks[position].numpy()
        if not self._filled[position]:
            image[:], mask[:] = read(position)
            self._filled[position] = True
        return image.copy(), mask.copy()


def caches(counts: Sequence[int], size: int, limit: int, shared: bool) -> list[PictureCache | None]:
    """Return a cache for each of several sets of pictures.

    None for each where they exceed `limit` bytes together, or the system's shared memory.
    """
    if cached_bytes(sum(counts), size) > limit:
        return [None for _ in counts]
    try:
        return [PictureCache(count, size, shared) for count in counts]
    except RuntimeError:  # torch reserves shared memory at once; containers often have 64 MB of it
        return [None for _ in counts]
