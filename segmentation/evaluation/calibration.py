"""How probabilities and thresholds relate to what is true, on the test images. Not used for any choice."""

import numpy as np

from segmentation.common.tables import csv_bytes
from segmentation.evaluation.prediction_scores import NetworkScores
from segmentation.scoring import scores
from segmentation.scoring.scores import Values
from segmentation.scoring.threshold import GRID, counts_on_grid

WIDE_BINS = 10  # of 0.1, for the reliability diagram and the calibration error
BADLY = 0.05  # calibration error from which probabilities should not be read as such


def reliability(network: NetworkScores) -> dict[str, Values]:
    """Return, for each tenth of the probabilities, the pixels, their mean probability and foreground share.

    At the size of the network. A mean or share of no pixels is NaN.
    """
    sums = network.bins.sum(axis=(0, 1)), network.bins[:, 1].sum(axis=0), network.confidence.sum(axis=0)
    pixels, positive, confidence = (bins.reshape(WIDE_BINS, -1).sum(axis=1) for bins in sums)
    with np.errstate(invalid="ignore"):
        return {"pixels": pixels, "probability": confidence / pixels, "foreground": positive / pixels}


def calibration_error(network: NetworkScores) -> float:
    """Return the expected calibration error of the pixels, over bins of 0.1. Naeini et al. 2015 (AAAI)."""
    pixels, probability, foreground = reliability(network).values()
    gaps = np.nan_to_num(np.abs(probability - foreground))
    return float((gaps * pixels).sum() / pixels.sum())


def threshold_curves(network: NetworkScores) -> dict[str, Values]:
    """Return mean Dice, and precision and recall of all pixels, at each threshold of `GRID`, `(99,)`.

    At the size of the network.
    """
    counts = counts_on_grid(network.bins)
    pooled = counts.sum(axis=0)
    return {
        "threshold": np.array(GRID),
        "dice": scores.dice(counts).mean(axis=0),
        "precision": scores.precision(pooled),
        "recall": scores.recall(pooled),
    }


def table(columns: dict[str, Values]) -> bytes:
    """Return columns as a CSV file, without the rows that hold a NaN."""
    complete = (row for row in zip(*columns.values(), strict=True) if not np.isnan(row).any())
    return csv_bytes(list(columns), [dict(zip(columns, row, strict=True)) for row in complete])
