"""From images of any size to logits, probabilities and masks: the same in training and in prediction."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from segmentation.common.geometry import Geometry, Image, Mask, Probabilities
from segmentation.inference.windows import blended
from segmentation.loading.transforms import Normalization, normalize
from segmentation.models.checkpoints import Checkpoint, load_checkpoint
from segmentation.runtime.devices import autocast, available_precision, choose_device, to_device
from segmentation.scoring.threshold import is_foreground

BATCH_SIZE = 8


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


@dataclass(frozen=True)
class Predictor:
    """A network with all that it takes to predict; `geometry` is how it sees an image.

    The network must be on the device of the `runner`. Every method puts it into evaluation mode. With `tta`
    (test-time augmentation) "flip", probabilities are the mean over an image and its mirror image.
    """

    model: nn.Module
    runner: Runner
    geometry: Geometry
    threshold: float
    tta: Literal["none", "flip"] = "none"

    @classmethod
    def load(cls, path: str | Path) -> "Predictor":
        """Return the predictor of a checkpoint file; raises `InputError` if it cannot be read."""
        return cls.from_checkpoint(load_checkpoint(Path(path)))

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, device: torch.device | None = None) -> "Predictor":
        """Return the predictor of a checkpoint, on the best device here or on `device`.

        It normalises as in training and computes in the number format of the training, or in float32 if the
        device does not have it.
        """
        meta, device = checkpoint.meta, device or choose_device()
        precision = available_precision(meta.precision, device)
        runner = Runner(device, precision, Normalization(meta.mean, meta.std))
        return cls(to_device(checkpoint.model, device), runner, meta.geometry, meta.threshold)

    @torch.inference_mode()
    def logits(self, images: Tensor) -> Tensor:
        """Map uint8 images `(N, 3, H, W)` of at least a window to float32 logits `(N, 1, H, W)`."""
        self.model.eval()
        size = self.geometry.size
        if images.shape[2:] == (size, size):
            return self.runner.logits(self.model, images)
        maps = [blended(image, size, partial(self.runner.logits, self.model)) for image in images]
        return torch.stack(maps)[:, None].to(self.runner.device)

    def network_probabilities(self, images: Sequence[Image]) -> list[Probabilities]:
        """Return the probabilities of foreground of images that `Geometry.to_network` returned."""
        size, fill = self.geometry.size, self.geometry.fill
        filled = (np.require(self.geometry.filled(image, fill), requirements="W") for image in images)
        tensors = [torch.from_numpy(image).permute(2, 0, 1) for image in filled]  # views: may be large
        windows = all(tensor.shape[1:] == (size, size) for tensor in tensors)
        stacks = [torch.stack(tensors)] if windows else [tensor[None] for tensor in tensors]
        maps = [probabilities for stack in stacks for probabilities in self._probabilities(stack)]
        return [
            self.geometry.unfilled(probabilities[0].cpu().numpy(), *image.shape[:2])
            for probabilities, image in zip(maps, images, strict=True)
        ]

    def _probabilities(self, images: Tensor) -> Tensor:
        """Map uint8 images `(N, 3, H, W)` of at least a window to probabilities `(N, 1, H, W)`."""
        probabilities = torch.sigmoid(self.logits(images))
        if self.tta == "flip":
            probabilities = (probabilities + torch.sigmoid(self.logits(images.flip(-1))).flip(-1)) / 2
        return probabilities

    def probabilities(self, images: Sequence[Image], batch_size: int = BATCH_SIZE) -> list[Probabilities]:
        """Return the probability of foreground of each pixel of `images`, which may differ in size.

        Images are `(H, W, 3)`, uint8, RGB; anything else is a `ValueError`. Each result has the height and
        width of its image.
        """
        results = []
        for image in images:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
                raise ValueError(f"an image is (H, W, 3), uint8, not {image.shape} {image.dtype}")
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            maps = self.network_probabilities([self.geometry.to_network(image) for image in batch])
            for image, probabilities in zip(batch, maps, strict=True):
                results.append(self.geometry.to_image(probabilities, *image.shape[:2]))
        return results

    def masks(self, images: Sequence[Image], batch_size: int = BATCH_SIZE) -> list[Mask]:
        """Return the mask of each image, 0 or 1, in its own size.

        Probabilities are resized first and thresholded after, so that edges are smooth.
        """
        maps = self.probabilities(images, batch_size)
        return [is_foreground(probabilities, self.threshold).astype(np.uint8) for probabilities in maps]

    def mask(self, image: Image) -> Mask:
        """Return the mask `(H, W)`, 0 or 1, of an image `(H, W, 3)`, uint8, RGB."""
        return self.masks([image])[0]
