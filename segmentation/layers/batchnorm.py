"""Batch normalisation where PyTorch's own fails: single values, and several processes on CPUs."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmentation.runtime.distributed import all_reduce_sum, world_size


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation over `(N, C, H, W)`, Ioffe and Szegedy 2015, arXiv:1502.03167.

    A last batch of one image leaves 1x1 values at the bottom of a ResNet at small sizes. They have
    no variance, so the running statistics stand in for that step.

    Where several processes train together, the statistics are those of all their images. PyTorch's
    `SyncBatchNorm` does that faster, but on GPUs only; there it replaces this class.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise `(N, C, H, W)`."""
        if self.training and world_size() > 1:
            return self._over_all_processes(input)
        if self.training and input.numel() == input.shape[1]:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(input)

    def _over_all_processes(self, input: Tensor) -> Tensor:
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        values = input.float()
        here = torch.full((1,), values.numel() / values.shape[1], device=values.device)
        *_, count = sums = all_reduce_sum(torch.cat([values.sum((0, 2, 3)), here]))
        mean = sums[:-1] / count
        centred = values - mean.view(1, -1, 1, 1)
        variance = all_reduce_sum(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(input.dtype)
