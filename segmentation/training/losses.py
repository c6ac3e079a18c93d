"""Training losses, on logits and targets of shape `(N, 1, H, W)`.

Each is a formula over sums of pixels. `total` turns the sums over these images into those over a whole batch,
of which several processes may each have a share.
"""

from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from segmentation.scoring.scores import soft_dice

Total = Callable[[Tensor], Tensor]


def whole_batch(sums: Tensor) -> Tensor:
    """Return the sums unchanged: these images are the whole batch."""
    return sums


def bce_dice(logits: Tensor, targets: Tensor, total: Total = whole_batch) -> Tensor:
    """Binary cross-entropy plus soft Dice loss over the whole batch."""
    return _bce_plus_dice(logits, torch.sigmoid(logits), targets, total)


def double_sigmoid(logits: Tensor, targets: Tensor, total: Total = whole_batch) -> Tensor:
    """The lab report's loss: probabilities go into a cross-entropy that applies the sigmoid again.

    So the cross-entropy cannot fall below log(1 + 1/e) = 0.313 on the foreground and log 2 = 0.693 on
    the background, and pushes probabilities to 0 and 1.
    """
    probabilities = torch.sigmoid(logits)
    return _bce_plus_dice(probabilities, probabilities, targets, total)


def _bce_plus_dice(bce_input: Tensor, probabilities: Tensor, targets: Tensor, total: Total) -> Tensor:
    """The mean cross-entropy of the sigmoid of `bce_input`, plus one minus the soft Dice."""
    entropy = F.binary_cross_entropy_with_logits(bce_input, targets, reduction="sum")
    pixels = torch.full_like(entropy, targets.numel())
    sums = [(probabilities * targets).sum(), probabilities.sum(), targets.sum(), entropy, pixels]
    intersection, predicted, true, entropy, pixels = total(torch.stack(sums)).unbind()
    return entropy / pixels + 1 - soft_dice(intersection, predicted, true)


class Loss(Protocol):
    """The mean loss of a batch, a scalar."""

    def __call__(self, logits: Tensor, targets: Tensor, total: Total = whole_batch) -> Tensor:
        """Return the loss; differentiable."""


LOSSES: dict[str, Loss] = {"bce_dice": bce_dice, "double_sigmoid": double_sigmoid}
