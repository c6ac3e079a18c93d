"""Training losses, on logits and masks of shape `(N, 1, H, W)`."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from stages.segmentation.scores import soft_dice


def bce_dice(logits: Tensor, masks: Tensor) -> Tensor:
    """Binary cross-entropy plus soft Dice loss over the whole batch, each on the right scale."""
    return F.binary_cross_entropy_with_logits(logits, masks) + 1 - soft_dice(torch.sigmoid(logits), masks)


def report(logits: Tensor, masks: Tensor) -> Tensor:
    """The report's loss: probabilities are given to a cross-entropy that applies the sigmoid again.

    So the cross-entropy cannot fall below log(1 + 1/e) = 0.313 on the foreground and log 2 = 0.693 on
    the background, and pushes probabilities to 0 and 1.
    """
    probabilities = torch.sigmoid(logits)
    crossed = F.binary_cross_entropy_with_logits(probabilities, masks)
    return crossed + 1 - soft_dice(probabilities, masks)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"bce_dice": bce_dice, "report": report}
