"""The two networks of the report, built from scratch: U-Net and ResNet34 with a U-Net decoder.

Both map pictures `(N, 3, H, W)` to logits `(N, 1, H, W)`; `w` below is the width (64 in the report).
U-Net: Ronneberger et al. 2015, arXiv:1505.04597, here padded and with batch normalisation.
ResNet34: He et al. 2015, arXiv:1512.03385, table 1, here with the report's residual block.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmentation.layers.batchnorm import BatchNorm

NAMES = ("unet", "resnet")


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    """Convolution without a bias (the normalisation has one) and batch normalisation."""
    kind = Pointwise if kernel == 1 else nn.Conv2d
    return [kind(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False), BatchNorm(outputs)]


class Pointwise(nn.Conv2d):
    """A 1x1 convolution with a stride, which takes every `stride`-th pixel first and then has none.

    With the stride left to it, oneDNN writes past its workspace in the gradient of the weights where
    there are fewer than 16 channels, channels last: github.com/uxlfoundation/oneDNN/issues/6035.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map `(N, C, H, W)` to `(N, outputs, H / stride, W / stride)`."""
        down, across = self.stride
        return F.conv2d(input[..., ::down, ::across], self.weight, self.bias)


def _relu() -> nn.Module:
    return nn.ReLU(inplace=True)


def _double_conv(inputs: int, outputs: int) -> nn.Sequential:
    """U-Net's block: twice (3x3 convolution, batch normalisation, ReLU)."""
    return nn.Sequential(*_conv(inputs, outputs), _relu(), *_conv(outputs, outputs), _relu())


class Residual(nn.Module):
    """The report's residual block: both convolutions end in BN + ReLU, the sum is not activated again."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_conv(inputs, outputs, stride=stride), _relu(), *_conv(outputs, outputs), _relu()
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Sequential(*_conv(inputs, outputs, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, inputs, H, W)` to `(N, outputs, H / stride, W / stride)`."""
        return self.body(x) + self.shortcut(x)


class Decoder(nn.Module):
    """U-Net's way up: from 16w channels over the skips 8w, 4w, 2w, w, deepest first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        levels = [8 * width, 4 * width, 2 * width, width]
        self.ups = nn.ModuleList(nn.ConvTranspose2d(2 * level, level, 2, stride=2) for level in levels)
        self.blocks = nn.ModuleList(_double_conv(2 * level, level) for level in levels)

    def forward(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        """Map `(N, 16w, h, w)` and the skips, shallowest first, to the shape of the first skip."""
        for up, block, skip in zip(self.ups, self.blocks, reversed(skips), strict=True):
            x = block(torch.cat([skip, up(x)], dim=1))
        return x


class UNet(nn.Module):
    """U-Net: four levels w to 8w, a bottleneck of 16w. 31,037,633 parameters at width 64."""

    multiple = 16

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        levels = [3, width, 2 * width, 4 * width, 8 * width]
        self.encoder = nn.ModuleList(_double_conv(inputs, outputs) for inputs, outputs in pairwise(levels))
        self.bottleneck = nn.Sequential(_double_conv(8 * width, 16 * width), nn.Dropout2d(dropout))
        self.decoder = Decoder(width)
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Map pictures `(N, 3, H, W)` to logits `(N, 1, H, W)`."""
        x, skips = _pad(images, self.multiple), []
        for block in self.encoder:
            skips.append(block(x))
            x = F.max_pool2d(skips[-1], 2)
        logits = self.head(self.decoder(self.bottleneck(x), skips))
        return logits[..., : images.shape[-2], : images.shape[-1]]


class ResNetUNet(nn.Module):
    """ResNet34 encoder with U-Net's decoder. 48,194,369 parameters at width 64."""

    multiple = 64

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_conv(3, width, 7, 2), _relu(), nn.MaxPool2d(3, 2, padding=1))
        levels = [width, 2 * width, 4 * width, 8 * width]
        self.encoder = nn.ModuleList(
            nn.Sequential(
                Residual(inputs, outputs, stride), *(Residual(outputs, outputs) for _ in range(depth - 1))
            )
            for inputs, outputs, depth, stride in zip(
                [width, *levels], levels, (3, 4, 6, 3), (1, 2, 2, 2), strict=False
            )
        )
        self.bottleneck = nn.Sequential(Residual(8 * width, 16 * width, 2), nn.Dropout2d(dropout))
        self.decoder = Decoder(width)
        self.upsample = nn.Sequential(*(layer for _ in range(2) for layer in _upsample(width)))
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Map pictures `(N, 3, H, W)` to logits `(N, 1, H, W)`."""
        x, skips = self.stem(_pad(images, self.multiple)), []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        logits = self.head(self.upsample(self.decoder(self.bottleneck(x), skips)))
        return logits[..., : images.shape[-2], : images.shape[-1]]


def _upsample(channels: int) -> list[nn.Module]:
    """Double height and width."""
    return [nn.ConvTranspose2d(channels, channels, 2, stride=2, bias=False), BatchNorm(channels), _relu()]


def _pad(images: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and column until height and width are multiples of `multiple`."""
    height, width = images.shape[-2:]
    if height % multiple == 0 and width % multiple == 0:
        return images
    return F.pad(images, (0, -width % multiple, 0, -height % multiple), mode="replicate")


def _init_he(module: nn.Module) -> None:
    """Kaiming normal (fan out, ReLU) on convolutions, as the report has it: not on transposed ones."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def build_model(name: str, width: int = 64, dropout: float = 0.1, init: str = "he") -> nn.Module:
    """Build `unet` or `resnet` with weights drawn from torch's global generator.

    `width` is the number of channels of the first level, `dropout` the share of bottleneck channels
    dropped in training, `init` `he` (the report's) or `default` (PyTorch's own). The network takes
    pictures of any height and width from 32; multiples of 16 (U-Net) or 64 (ResNet) waste nothing.
    """
    model = {"unet": UNet, "resnet": ResNetUNet}[name](width, dropout)
    if init == "he":
        model.apply(_init_he)
    return model
