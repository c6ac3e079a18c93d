"""Running a network over batches of pictures."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from segmentation.runtime.devices import autocast
from segmentation.runtime.distributed import gathered
from segmentation.scoring.scores import Counts, Values, confusion_counts, soft_sums
from segmentation.training.losses import Loss, alone


class Normalization(NamedTuple):
    """Mean and standard deviation per channel, red, green, blue, in [0, 1]."""

    mean: list[float]
    std: list[float]


class Scored(NamedTuple):
    """What is known of each of N pictures after a pass."""

    counts: Counts
    soft: Values  # (N, 3), see scores.soft_sums
    loss: float  # mean over the pictures; 0 without a loss


@dataclass(frozen=True)
class Runner:
    """How pictures are run through a network: on what, in which number format, normalised by what."""

    device: torch.device
    precision: str
    normalization: Normalization

    @cached_property
    def _mean_and_std(self) -> tuple[Tensor, Tensor]:
        # Once, not at each call: a copy to the device waits for it.
        mean, std = (torch.tensor(each, device=self.device).view(1, 3, 1, 1) for each in self.normalization)
        return mean, std

    def logits(self, model: nn.Module, images: Tensor) -> Tensor:
        """Map uint8 pictures `(N, 3, H, W)`, anywhere, to float32 logits `(N, 1, H, W)` on the device."""
        images = images.to(self.device, non_blocking=True).contiguous(memory_format=torch.channels_last)
        mean, std = self._mean_and_std
        with autocast(self.device, self.precision):
            return model((images.float() / 255 - mean) / std).float()

    def masks(self, masks: Tensor) -> Tensor:
        """Bring uint8 masks to the device as float32 0 and 1."""
        return masks.to(self.device, non_blocking=True).float()


@torch.inference_mode()
def score(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    runner: Runner,
    threshold: float,
    loss: Loss | None = None,
) -> Scored:
    """Hold the predictions of `model`, in evaluation mode, against the masks of `batches`.

    A pixel is foreground where its probability is at least `threshold`. Where several processes train
    together, each scores its batches, and all get the results of all.
    """
    model.eval()
    results = []
    for images, masks in batches:
        truth, logits = runner.masks(masks), runner.logits(model, images)
        probabilities = torch.sigmoid(logits)
        counts = confusion_counts(probabilities >= threshold, truth.bool())
        value = loss(logits, truth, alone) * len(images) if loss else logits.new_zeros(())
        results.append((counts, soft_sums(probabilities, truth), value))
    all_counts, all_sums, losses = zip(*gathered(results), strict=True)
    return Scored(
        torch.cat(all_counts).cpu().numpy(),
        torch.cat(all_sums).cpu().numpy().astype(np.float64),
        float(torch.stack(losses).sum() / sum(map(len, all_counts))),
    )


@torch.inference_mode()
def predict(model: nn.Module, images: Tensor, runner: Runner, threshold: float) -> Tensor:
    """Return the masks that `model` predicts for uint8 pictures: `(N, 1, H, W)`, uint8 0 or 1, on the CPU."""
    model.eval()
    return (torch.sigmoid(runner.logits(model, images)) >= threshold).to(torch.uint8).cpu()
