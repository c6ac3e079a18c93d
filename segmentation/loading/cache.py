"""Decoded images, kept in memory: decoding and resizing cost more than all random changes."""

from collections.abc import Callable, Sequence

import torch

from segmentation.loading.transforms import Image, Mask


def cached_bytes(count: int, size: int) -> int:
    """Return the memory that `count` images of `size` x `size` pixels take, masks included."""
    return count * size * size * 4


class ImageCache:
    """Memory for `count` images and masks of `size` x `size` pixels, each filled at its first read.

    With `shared`, the loader's workers fill and read the same memory. No two of them ask for the same
    image in one epoch, and between epochs they wait for each other, so no lock is needed.
    """

    def __init__(self, count: int, size: int, shared: bool) -> None:
        self._images = torch.empty((count, size, size, 3), dtype=torch.uint8)
        self._masks = torch.empty((count, size, size), dtype=torch.uint8)
        self._filled = torch.zeros(count, dtype=torch.bool)
        if shared:
            for tensor in (self._images, self._masks, self._filled):
                tensor.share_memory_()

    def get(self, index: int, read: Callable[[int], tuple[Image, Mask]]) -> tuple[Image, Mask]:
        """Return a copy of the image and mask at `index`, which `read` makes at the first call."""
        image, mask = self._images[index].numpy(), self._masks[index].numpy()
        if not self._filled[index]:
            image[:], mask[:] = read(index)
            self._filled[index] = True
        return image.copy(), mask.copy()


def make_caches(counts: Sequence[int], size: int, limit: int, shared: bool) -> list[ImageCache | None]:
    """Return a cache for each of several sets of images.

    None for each if together they exceed `limit` bytes, or the system's shared memory.
    """
    if cached_bytes(sum(counts), size) > limit:
        return [None for _ in counts]
    try:
        return [ImageCache(count, size, shared) for count in counts]
    except RuntimeError:  # torch reserves shared memory at once; containers often have 64 MB of it
        return [None for _ in counts]
