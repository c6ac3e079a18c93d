"""Scores of binary masks: integer counts per image first, reductions after.

A ratio of 0/0 is 1, since there was nothing to get wrong: an empty mask that is predicted empty scores 1,
one that is predicted non-empty scores 0.
"""

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SOFT_DICE_BATCH = 8  # the lab report takes its soft Dice over batches of this size

Counts = NDArray[np.int64]  # (N, 4): true positives, false positives, false negatives, true negatives
Values = NDArray[np.float64]
Soft = TypeVar("Soft", Tensor, Values)


def confusion_counts(predictions: Tensor, masks: Tensor) -> Tensor:
    """Count pixels per image: boolean `(N, …)` and `(N, …)` to int64 `(N, 4)`: TP, FP, FN, TN."""
    predictions, masks = predictions.flatten(1), masks.flatten(1)
    both, predicted, true = (mask.sum(1) for mask in (predictions & masks, predictions, masks))
    fp, fn = predicted - both, true - both
    return torch.stack([both, fp, fn, predictions.shape[1] - both - fp - fn], 1)


def dice(counts: Counts) -> Values:
    """Dice of each row of `(…, 4)` counts: 2 TP / (2 TP + FP + FN). Dice 1945."""
    tp, fp, fn, _ = np.moveaxis(counts, -1, 0)
    return _ratio(2 * tp, 2 * tp + fp + fn)


def tensor_dice(counts: Tensor) -> Tensor:
    """`dice` of `(N, 4)` counts on their device, `(N,)`: for what is shown while a network trains."""
    tp, fp, fn, _ = counts.unbind(1)
    return (2 * tp / (2 * tp + fp + fn)).nan_to_num(nan=1.0)


def iou(counts: Counts) -> Values:
    """Intersection over union of each row: TP / (TP + FP + FN). Jaccard 1912."""
    tp, fp, fn, _ = np.moveaxis(counts, -1, 0)
    return _ratio(tp, tp + fp + fn)


def precision(counts: Counts) -> Values:
    """Share of the predicted foreground that is true: TP / (TP + FP)."""
    tp, fp, _, _ = np.moveaxis(counts, -1, 0)
    return _ratio(tp, tp + fp)


def recall(counts: Counts) -> Values:
    """Share of the true foreground that is predicted: TP / (TP + FN)."""
    tp, _, fn, _ = np.moveaxis(counts, -1, 0)
    return _ratio(tp, tp + fn)


def soft_dice(intersection: Soft, predicted: Soft, true: Soft) -> Soft:
    """Dice of probabilities as in the lab report, from the `soft_sums` of a whole batch; differentiable."""
    return 2 * intersection / (predicted + true + 1e-8)


def soft_sums(probabilities: Tensor, masks: Tensor) -> Tensor:
    """What the soft Dice is made of, per image: `(N, 3)`, the sums of p·y, p and y."""
    probabilities, masks = probabilities.flatten(1), masks.flatten(1)
    return torch.stack([(probabilities * masks).sum(1), probabilities.sum(1), masks.sum(1)], 1)


def mean_soft_dice(sums: Values) -> float:
    """The lab report's score: the soft Dice of each batch of 8 in list order, averaged over the batches.

    `sums` are the `soft_sums` of all images, `(N, 3)`. The last batch may be smaller and counts the same.
    """
    starts = np.arange(0, len(sums), SOFT_DICE_BATCH)
    intersection, predicted, true = np.add.reduceat(sums, starts, axis=0).T
    return float(np.mean(soft_dice(intersection, predicted, true)))


def _ratio(numerator: NDArray[np.int64], denominator: NDArray[np.int64]) -> Values:
    ones = np.ones(np.shape(denominator))
    return np.divide(numerator, denominator, out=ones, where=np.asarray(denominator) > 0)
