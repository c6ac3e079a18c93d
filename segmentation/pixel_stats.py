"""Mean and standard deviation of the pixels of many images, exactly, in one pass."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from math import sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from segmentation.common.artifacts import Stats
from segmentation.common.cores import usable_cores
from segmentation.common.errors import InputError
from segmentation.common.image_io import open_rgb


def compute_stats(paths: Sequence[Path]) -> Stats:
    """Return the pixel-weighted mean and (population) standard deviation of the images at `paths`.

    Every pixel counts once. Histograms are integers and the moments exact fractions, rounded once
    at the end: the result is the same to the last bit in any order. Memory does not grow with the number
    of pixels. Raises `InputError` if an image does not decode or there is none.
    """
    if not paths:
        raise InputError("no images to compute the mean and standard deviation of")
    total = np.zeros((3, 256), np.int64)
    # Threads: decoding releases the interpreter's lock, and processes take longer to start than they save.
    with ThreadPoolExecutor(usable_cores()) as pool:
        for histogram in tqdm(pool.map(_histogram, paths), "pixels", len(paths), unit="img", disable=None):
            total += histogram
    moments = [_mean_and_std(channel) for channel in total]
    return Stats(
        mean=[mean for mean, _ in moments],
        std=[std for _, std in moments],
        images=len(paths),
        pixels=int(total[0].sum()),
    )


def _histogram(path: Path) -> NDArray[np.int64]:
    """Count the values of each channel of an image: `(3, 256)`."""
    return np.array(open_rgb(path).histogram(), np.int64).reshape(3, 256)


def _mean_and_std(counts: NDArray[np.int64]) -> tuple[float, float]:
    """Mean and standard deviation, in [0, 1], of 256 `counts` of the values 0 to 255."""
    pixels = int(counts.sum())
    first = sum(value * int(count) for value, count in enumerate(counts))
    second = sum(value * value * int(count) for value, count in enumerate(counts))
    variance = Fraction(pixels * second - first * first, (255 * pixels) ** 2)
    return float(Fraction(first, 255 * pixels)), sqrt(variance)
