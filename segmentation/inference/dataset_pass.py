"""One pass of a network over a dataset, for its scores."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from segmentation.inference.predictor import Predictor
from segmentation.runtime.distributed import all_gather_interleaved
from segmentation.scoring.scores import Counts, Values, confusion_counts, soft_sums
from segmentation.scoring.threshold import is_foreground

ScoringLoss = Callable[[Tensor, Tensor], Tensor]  # logits, targets (N, 1, H, W) to their mean


class ImageScores(NamedTuple):
    """What is known of each of N images after a pass."""

    counts: Counts
    soft: Values  # (N, 3), see scores.soft_sums
    loss: float  # mean over the images; 0 without a loss


@torch.inference_mode()
def score(
    predictor: Predictor, batches: Iterable[tuple[Tensor, Tensor]], loss: ScoringLoss | None = None
) -> ImageScores:
    """Compare the predictions for images `(N, 3, size, size)` with their masks `(N, 1, size, size)`.

    If several processes train together, each scores its batches, and all get the results of all.
    """
    results = []
    for images, masks in batches:
        targets, logits = predictor.runner.targets(masks), predictor.logits(images)
        probabilities = torch.sigmoid(logits)
        counts = confusion_counts(is_foreground(probabilities, predictor.threshold), targets.bool())
        value = loss(logits, targets) * len(images) if loss else logits.new_zeros(())
        results.append((counts, soft_sums(probabilities, targets), value))
    all_counts, all_sums, losses = zip(*all_gather_interleaved(results), strict=True)
    return ImageScores(
        torch.cat(all_counts).cpu().numpy(),
        torch.cat(all_sums).cpu().numpy().astype(np.float64),
        float(torch.stack(losses).sum() / sum(map(len, all_counts))),
    )
