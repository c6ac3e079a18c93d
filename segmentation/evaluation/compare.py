"""From the counts of each image to the test scores, with intervals and paired differences."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from segmentation.evaluation.bootstrap import intervals
from segmentation.inference.dataset_pass import ImageScores
from segmentation.scoring import scores


def compare(
    networks: Mapping[str, ImageScores], baselines: Mapping[str, ImageScores], resamples: int
) -> dict[str, Any]:
    """Return the content of metrics/test.json; the differences are to the first of the `networks`."""
    (_, first), *others = networks.items()
    differences = {name: difference(scored, first, resamples) for name, scored in others}
    return summarize(networks, resamples) | {
        "difference": differences,
        "baselines": summarize(baselines, resamples),
    }


def summarize(answers: Mapping[str, ImageScores], resamples: int) -> dict[str, dict[str, Any]]:
    """Return the scores of each answer, with bootstrap intervals of the mean Dice.

    `dice` and `iou` are means over images; `…_pooled`, `precision` and `recall` are taken from counts
    pooled over all images; `empty` counts the images without any foreground.
    """
    per_image = np.stack([scores.dice(each.counts) for each in answers.values()], axis=1)
    ranges = intervals(per_image, resamples)
    return {
        name: {"dice": float(scores.dice(each.counts).mean()), "dice_low": low, "dice_high": high}
        | _other_scores(each)
        for (name, each), (low, high) in zip(answers.items(), ranges, strict=True)
    }


def difference(scored: ImageScores, reference: ImageScores, resamples: int) -> dict[str, float]:
    """Return how much better the mean Dice of `scored` is than that of `reference`, paired by image."""
    paired = scores.dice(scored.counts) - scores.dice(reference.counts)
    ((low, high),) = intervals(paired[:, None], resamples)
    return {"dice": float(paired.mean()), "low": low, "high": high}


def _other_scores(scored: ImageScores) -> dict[str, Any]:
    counts, pooled = scored.counts, scored.counts.sum(axis=0)
    return {
        "iou": float(scores.iou(counts).mean()),
        "dice_pooled": float(scores.dice(pooled)),
        "iou_pooled": float(scores.iou(pooled)),
        "dice_soft": scores.mean_soft_dice(scored.soft),
        "precision": float(scores.precision(pooled)),
        "recall": float(scores.recall(pooled)),
        "images": len(counts),
        "empty": int((counts[:, 0] + counts[:, 2] == 0).sum()),
    }
