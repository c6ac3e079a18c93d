"""What a person can do when a training runs out of memory: settings that were tried and fit."""

from collections.abc import Callable
from itertools import takewhile

from segmentation.runtime.distributed import world_size
from segmentation.runtime.memory import fits

IN_GENERAL = "lower train.batch_size, image.size or model.width"
SMALLEST = 32  # side of an image in pixels


def what_fits(try_step: Callable[[int, int], None], batch_size: int, size: int) -> str:
    """Return what to lower: the largest power of two that fits as a batch, or else a half of `size`, or less.

    `try_step` takes a batch size and the side of an image, and runs out of memory or not. Of several
    processes none tries: alone it cannot take a step.
    """
    if world_size() > 1:
        return IN_GENERAL
    print("out of memory; trying smaller steps, to say which one fits", flush=True)
    batches = [(2**k, size) for k in range(batch_size.bit_length()) if 2**k < batch_size]
    halves = [size // 2**k for k in range(1, size.bit_length()) if size // 2**k >= SMALLEST]
    images = [(1, side) for side in reversed(halves)]
    for tries in (batches, images):
        # The small ones first: a failed step leaves memory in pieces.
        if found := list(takewhile(lambda each: fits(lambda: try_step(*each)), tries)):
            batch, side = found[-1]
            smaller = f" and image.size = {side}" if side < size else ""
            return f"a step with train.batch_size = {batch}{smaller} fits"
    return IN_GENERAL
