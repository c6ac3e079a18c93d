"""What the networks are built from; `w` is the width, the number of channels of the first level.

U-Net: Ronneberger et al. 2015, arXiv:1505.04597, here padded and with batch normalisation.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmentation.layers.batchnorm import BatchNorm
from segmentation.layers.convolution import Convolution


def conv_bn(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    """Convolution without a bias (the normalisation has one), then batch normalisation."""
    return [Convolution(inputs, outputs, kernel, stride), BatchNorm(outputs)]


def relu() -> nn.Module:
    """Return a ReLU that overwrites its input."""
    return nn.ReLU(inplace=True)


def double_conv(inputs: int, outputs: int) -> nn.Sequential:
    """Return U-Net's block: twice (3x3 convolution, batch normalisation, ReLU)."""
    return nn.Sequential(*conv_bn(inputs, outputs), relu(), *conv_bn(outputs, outputs), relu())


class Decoder(nn.Module):
    """U-Net's decoder: from 16w channels over the skips 8w, 4w, 2w, w, deepest first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        levels = [8 * width, 4 * width, 2 * width, width]
        self.ups = nn.ModuleList(nn.ConvTranspose2d(2 * level, level, 2, stride=2) for level in levels)
        self.blocks = nn.ModuleList(double_conv(2 * level, level) for level in levels)

    def forward(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        """Map `(N, 16w, h, w)` and the skips, shallowest first, to the shape of the first skip."""
        for up, block, skip in zip(self.ups, self.blocks, reversed(skips), strict=True):
            x = block(torch.cat([skip, up(x)], dim=1))
        return x


def pad(images: Tensor, multiple: int) -> Tensor:
    """Pad `(N, C, H, W)` below and right, by repetition, to multiples of `multiple` pixels."""
    height, width = images.shape[-2:]
    if height % multiple == 0 and width % multiple == 0:
        return images
    return F.pad(images, (0, -width % multiple, 0, -height % multiple), mode="replicate")
