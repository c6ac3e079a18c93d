"""Mean and standard deviation of the pixels of many pictures, exactly, in one pass."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from math import sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segmentation.common.errors import InputError
from segmentation.common.dataset_layout import Stats
from segmentation.common.image_io import open_rgb

# Per channel, red, green, blue, in [0, 1].
REPORT = ([0.481, 0.449, 0.396], [0.269, 0.265, 0.273])  # the report's own measurement
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])  # torchvision.models, "Transforms"
NONE = ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0])


def compute_stats(paths: Sequence[Path], workers: int | None = None) -> Stats:
    """Return the pixel-weighted mean and (population) standard deviation of the pictures at `paths`.

    Every pixel counts once. Histograms are integers and the moments exact fractions, rounded once
    at the end: the result is the same to the last bit in any order and with any number of
    `workers` (threads; all cores by default: decoding releases the interpreter's lock, and a
    pool of processes takes longer to start than it saves). Memory does not grow with the number
    of pictures. Raises `InputError` where a picture does not decode or there is none.
    """
    if not paths:
        raise InputError("no pictures to compute the mean and standard deviation of")
    workers = min(workers or os.cpu_count() or 1, len(paths))
    shares = [paths[i::workers] for i in range(workers)]
    with ThreadPoolExecutor(workers) as pool:
        histogram = np.sum(list(pool.map(_histogram, shares)), axis=0)
    moments = [_mean_and_std(channel) for channel in histogram]
    return Stats(
        mean=[mean for mean, _ in moments],
        std=[std for _, std in moments],
        images=len(paths),
        pixels=int(histogram[0].sum()),
    )


def choose_stats(normalize: str, own: Stats) -> tuple[list[float], list[float]]:
    """Return the mean and standard deviation that `image.normalize` names."""
    return {
        "own": (own["mean"], own["std"]),
        "report": REPORT,
        "imagenet": IMAGENET,
        "none": NONE,
    }[normalize]


def _histogram(paths: Sequence[Path]) -> NDArray[np.int64]:
    """Count values per channel over all `paths`: `(3, 256)`."""
    total = np.zeros((3, 256), np.int64)
    for path in paths:
        total += np.array(open_rgb(path).histogram(), np.int64).reshape(3, 256)
    return total


def _mean_and_std(counts: NDArray[np.int64]) -> tuple[float, float]:
    """Mean and standard deviation, in [0, 1], of 256 `counts` of the values 0 to 255."""
    pixels = int(counts.sum())
    first = sum(value * int(count) for value, count in enumerate(counts))
    second = sum(value * value * int(count) for value, count in enumerate(counts))
    variance = Fraction(pixels * second - first * first, (255 * pixels) ** 2)
    return float(Fraction(first, 255 * pixels)), sqrt(variance)
