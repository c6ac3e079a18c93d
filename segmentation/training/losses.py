"""Training losses, on logits and masks of shape `(N, 1, H, W)`.

Each is a formula over sums of pixels. `total` turns the sums of these pictures into those of a whole
batch, of which several processes may each have a share.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from segmentation.scoring.scores import soft_dice

Total = Callable[[Tensor], Tensor]
Loss = Callable[[Tensor, Tensor, Total], Tensor]


def alone(sums: Tensor) -> Tensor:
    """The total where these pictures are the whole batch."""
    return sums


def bce_dice(logits: Tensor, masks: Tensor, total: Total = alone) -> Tensor:
    """Binary cross-entropy plus soft Dice loss over the whole batch, each on the right scale."""
    return _cross_entropy_and_dice(logits, torch.sigmoid(logits), masks, total)


def report(logits: Tensor, masks: Tensor, total: Total = alone) -> Tensor:
    """The report's loss: probabilities are given to a cross-entropy that applies the sigmoid again.

    So the cross-entropy cannot fall below log(1 + 1/e) = 0.313 on the foreground and log 2 = 0.693 on
    the background, and pushes probabilities to 0 and 1.
    """
    probabilities = torch.sigmoid(logits)
    return _cross_entropy_and_dice(probabilities, probabilities, masks, total)


def _cross_entropy_and_dice(crossed: Tensor, probabilities: Tensor, masks: Tensor, total: Total) -> Tensor:
    """The mean cross-entropy of the sigmoid of `crossed`, plus one minus the report's soft Dice."""
    entropy = F.binary_cross_entropy_with_logits(crossed, masks, reduction="sum")
    pixels = torch.full_like(entropy, masks.numel())
    sums = [(probabilities * masks).sum(), probabilities.sum(), masks.sum(), entropy, pixels]
    intersection, predicted, true, entropy, pixels = total(torch.stack(sums)).unbind()
    return entropy / pixels + 1 - soft_dice(intersection, predicted, true)


LOSSES: dict[str, Loss] = {"bce_dice": bce_dice, "report": report}
