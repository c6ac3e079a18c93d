"""From probabilities to masks, and the choice of the threshold between."""

from math import inf
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segmentation.scoring.scores import Counts, dice

DEFAULT_THRESHOLD = 0.5
BINS = 100
GRID = tuple(k / BINS for k in range(1, BINS))  # the thresholds from which one is chosen

Pixels = TypeVar("Pixels", Tensor, NDArray[Any])
BinCounts = NDArray[np.int64]  # (N, 2, 100): background and foreground pixels of each image by probability


def is_foreground(probabilities: Pixels, threshold: float) -> Pixels:
    """Return, for each pixel, whether its probability is at least `threshold`."""
    return probabilities >= threshold


def to_bins(probabilities: Tensor) -> Tensor:
    """Return the bin of each probability: k from k/100 to below (k+1)/100, as `is_foreground` compares.

    Many times faster than `torch.bucketize`, which searches. NaN is in the first bin.
    """
    limits = torch.tensor((0.0, *GRID, inf), device=probabilities.device)
    bins = (probabilities * (BINS + 1e-4)).long().clamp(0, BINS)  # right or, next to a limit, one too high
    return bins - (probabilities < limits[bins]).long()


def bin_counts(bins: Tensor, masks: Tensor) -> Tensor:
    """Count the pixels of each image by mask and bin: `(N, …)` and boolean `(N, …)` to `(N, 2, 100)`."""
    count = len(bins)
    image = torch.arange(count, device=bins.device)[:, None]
    places = (2 * image + masks.flatten(1)) * BINS + bins.flatten(1)
    return torch.bincount(places.flatten(), minlength=count * 2 * BINS).view(count, 2, BINS)


def counts_on_grid(bins: BinCounts) -> Counts:
    """Return the counts of each image at each threshold of `GRID`, `(N, 99, 4)`: TP, FP, FN, TN."""
    above = bins[..., ::-1].cumsum(-1)[..., ::-1][..., 1:]  # pixels of at least k/100
    fp, tp = above[:, 0], above[:, 1]
    negative, positive = np.moveaxis(bins.sum(-1), 1, 0)[..., None]
    return np.stack([tp, fp, positive - tp, negative - fp], axis=-1)


def choose_threshold(bins: BinCounts) -> tuple[float, float]:
    """Return the threshold of `GRID` with the best mean Dice over the images, and that Dice.

    Of several equally good ones it is the nearest to 0.5, and of two as near the lower one.
    """
    means = dice(counts_on_grid(bins)).mean(axis=0)
    best = [k for k, mean in enumerate(means, 1) if mean == means.max()]
    return min(best, key=lambda k: abs(2 * k - BINS)) / BINS, float(means.max())  # in integers: 0.3 is no 0.3
