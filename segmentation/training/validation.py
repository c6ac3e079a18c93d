"""The scores of a network on the images of a dataset."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypedDict

import torch
from torch import Tensor

from segmentation.common.geometry import IGNORED
from segmentation.inference.predictor import Predictor
from segmentation.loading.dataset import Item
from segmentation.runtime.distributed import all_gather
from segmentation.scoring.scores import Counts, Values, confusion_counts, soft_sums
from segmentation.scoring.threshold import BinCounts, bin_counts, is_foreground, to_bins

ScoringLoss = Callable[[Tensor, Tensor], Tensor]  # logits, targets (N, 1, H, W) to their mean


class EpochMetrics(TypedDict):
    """One epoch: `dice` is the mean over images at 0.5, `dice_soft` the lab report's soft score.

    `threshold` is the one that suits the validation images best, `val_dice_threshold` their Dice at it.
    Training scores are taken on the augmented images, with dropout, while the weights change.
    """

    epoch: int
    lr: float  # at the start of the epoch
    train_loss: float
    train_dice: float
    val_loss: float
    val_dice: float
    val_dice_soft: float
    threshold: float
    val_dice_threshold: float


class ImageScores(NamedTuple):
    """The results of N images, in the order of the dataset."""

    counts: Counts  # (N, 4): pixels that are TP, FP, FN, TN
    bins: BinCounts  # (N, 2, 100): background and foreground pixels by probability
    soft: Values  # (N, 3), see scores.soft_sums
    loss: float  # mean over the images


@torch.inference_mode()
def score(predictor: Predictor, batches: Iterable[Item], loss: ScoringLoss) -> ImageScores:
    """Compare predictions with masks; processes that train together share the batches, and all get all."""
    results = []
    for images, masks, indices in batches:
        for logits, targets, places in _covered(predictor, images, masks, indices):
            probabilities = torch.sigmoid(logits)
            counts = confusion_counts(is_foreground(probabilities, predictor.threshold), targets.bool())
            bins = bin_counts(to_bins(probabilities), targets.bool())
            soft = soft_sums(probabilities, targets)
            results.append((places, counts, bins, soft, loss(logits, targets).expand(len(places))))
    mine = [torch.cat(column).cpu() for column in zip(*results, strict=True)] if results else []
    shares = [share for share in all_gather(mine) if share]  # a process may have had no batch
    indices, counts, bins, soft, losses = (torch.cat(column) for column in zip(*shares, strict=True))
    order = indices.argsort()
    loss_mean = float(losses[order].double().mean())
    return ImageScores(counts[order].numpy(), bins[order].numpy(), soft[order].double().numpy(), loss_mean)


def _covered(predictor: Predictor, *batch: Tensor) -> Iterator[Item]:
    """Yield logits, targets and indices of a batch; of each image alone where some may be filled."""
    images, masks, indices = batch
    logits, targets = predictor.logits(images), predictor.runner.targets(masks)
    if not predictor.geometry.has_filling:
        yield logits, targets, indices
        return
    for image, kept in enumerate((masks != IGNORED).to(logits.device)):
        yield logits[image][kept][None], targets[image][kept][None], indices[image : image + 1]
