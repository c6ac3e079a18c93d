"""The forward pass: the same in training and in prediction."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from segmentation.loading.transforms import Normalization, normalize
from segmentation.runtime.devices import autocast


@dataclass(frozen=True)
class Runner:
    """How images run through a network: on which device, in which number format, normalised by what."""

    device: torch.device
    precision: str
    normalization: Normalization

    @cached_property
    def _mean_and_std(self) -> tuple[Tensor, Tensor]:
        # Once, not at each call: a copy to the device waits for it.
        mean, std = (torch.tensor(rgb, device=self.device).view(1, 3, 1, 1) for rgb in self.normalization)
        return mean, std

    def logits(self, model: nn.Module, images: Tensor) -> Tensor:
        """Map images `(N, 3, H, W)` of 0 to 255, on any device, to float32 logits `(N, 1, H, W)` here."""
        images = images.to(self.device, non_blocking=True).contiguous(memory_format=torch.channels_last)
        with autocast(self.device, self.precision):
            return model(normalize(images, *self._mean_and_std)).float()

    def targets(self, masks: Tensor) -> Tensor:
        """Map uint8 masks `(N, 1, H, W)` to float32 on the device: 1 where there is foreground, else 0."""
        return (masks.to(self.device, non_blocking=True) == 1).float()
