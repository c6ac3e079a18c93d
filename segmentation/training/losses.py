"""Training losses: sums over pixels, and a formula over the sums.

Several processes may each have a share of a batch. They add their sums before the formula is applied, so that
the loss is that of the whole batch.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from segmentation.scoring.scores import soft_dice


@dataclass(frozen=True)
class Loss:
    """A loss: `value(sums(logits, targets))`, a differentiable scalar; both arguments are `(N, 1, H, W)`."""

    sums: Callable[[Tensor, Tensor], Tensor]
    value: Callable[[Tensor], Tensor]

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of these images alone."""
        return self.value(self.sums(logits, targets))


def bce_dice_sums(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the sums over all pixels of p·y, p, y and the cross-entropy, and their number: `(5,)`."""
    return _sums(logits, torch.sigmoid(logits), targets)


def double_sigmoid_sums(logits: Tensor, targets: Tensor) -> Tensor:
    """Return what `bce_dice_sums` does, but the cross-entropy applies the sigmoid to probabilities again.

    The lab report's mistake. So the cross-entropy cannot fall below log(1 + 1/e) = 0.313 on the foreground
    and log 2 = 0.693 on the background, and pushes probabilities to 0 and 1.
    """
    probabilities = torch.sigmoid(logits)
    return _sums(probabilities, probabilities, targets)


def bce_plus_dice(sums: Tensor) -> Tensor:
    """Return the mean cross-entropy, plus one minus the soft Dice of the whole batch."""
    intersection, predicted, true, entropy, pixels = sums.unbind()
    # A batch without a pixel: images of few pixels that a random shift took out of their windows.
    return entropy / pixels.clamp(min=1) + 1 - soft_dice(intersection, predicted, true)


def _sums(bce_input: Tensor, probabilities: Tensor, targets: Tensor) -> Tensor:
    entropy = F.binary_cross_entropy_with_logits(bce_input, targets, reduction="sum")
    pixels = torch.full_like(entropy, targets.numel())
    sums = [(probabilities * targets).sum(), probabilities.sum(), targets.sum(), entropy, pixels]
    return torch.stack(sums)


LOSSES = {
    "bce_dice": Loss(bce_dice_sums, bce_plus_dice),
    "double_sigmoid": Loss(double_sigmoid_sums, bce_plus_dice),
}
