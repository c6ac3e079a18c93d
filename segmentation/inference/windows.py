"""Windows that slide over an image, and the blending of what a network says of each."""

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

SIGMA = 1 / 8  # of a window: nnU-Net's, Isensee et al. 2021, doi:10.1038/s41592-020-01008-z
BATCH_SIZE = 8  # windows


def window_starts(length: int, size: int) -> list[int]:
    """Return where windows of `size` begin along `length` ≥ `size` pixels: neighbours share at least half.

    They are evenly spaced, in the same way from either end, and none reaches beyond.
    """
    free = length - size
    steps = -(-free // (size // 2))
    if steps % 2 == 0 and free % 2 == 1:
        steps += 1  # the one in the middle would lie half a pixel to one side
    first_half = [-(-number * free // steps) for number in range((steps + 1) // 2)]
    middle = [free // 2] if steps % 2 == 0 else []
    return [*first_half, *middle, *(free - start for start in reversed(first_half))]


def window_count(height: int, width: int, size: int) -> int:
    """Return how many windows cover an image, which is filled up to a window where it is smaller."""
    rows, columns = (len(window_starts(max(side, size), size)) for side in (height, width))
    return rows * columns


def blended(image: Tensor, size: int, predict: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the logits `(H, W)` of an image `(3, H, W)` of at least a window, float32, on the CPU.

    `predict` maps windows `(N, 3, size, size)` to logits `(N, 1, size, size)`. Where windows overlap, their
    mean counts, weighted by a Gaussian around the middle of each: a network knows less at the edge.
    """
    height, width = image.shape[1:]
    rows, columns = window_starts(height, size), window_starts(width, size)
    position = torch.arange(size) - (size - 1) / 2
    weight = torch.exp(-0.5 * (position / (SIGMA * size)) ** 2)
    logits, sums = torch.zeros(height, width), [torch.zeros(height), torch.zeros(width)]
    for starts, total in zip((rows, columns), sums, strict=True):
        for start in starts:
            total[start : start + size] += weight
    window = weight[:, None] * weight
    windows = list(product(rows, columns))
    for start in range(0, len(windows), BATCH_SIZE):
        places = windows[start : start + BATCH_SIZE]
        cuts = torch.stack([image[:, top : top + size, left : left + size] for top, left in places])
        for (top, left), part in zip(places, predict(cuts)[:, 0].cpu(), strict=True):
            logits[top : top + size, left : left + size] += window * part
    return logits.div_(sums[0][:, None]).div_(sums[1])
