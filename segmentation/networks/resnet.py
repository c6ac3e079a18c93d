"""ResNet34 with U-Net's decoder.

ResNet34: He et al. 2015, arXiv:1512.03385, table 1, here with the lab report's residual block.
"""

from torch import Tensor, nn

from segmentation.layers.batchnorm import BatchNorm
from segmentation.layers.blocks import Decoder, conv_bn, double_conv, pad, relu

TITLE = "ResNet34-UNet"


class Residual(nn.Module):
    """The lab report's residual block: both convolutions end in BN + ReLU, the sum is not activated again."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = double_conv(inputs, outputs, stride)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Sequential(*conv_bn(inputs, outputs, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, inputs, H, W)` to `(N, outputs, H / stride, W / stride)`."""
        return self.body(x) + self.shortcut(x)


class ResNetUNet(nn.Module):
    """ResNet34 encoder with U-Net's decoder. 48,194,369 parameters at width 64."""

    multiple = 64

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.stem = nn.Sequential(*conv_bn(3, width, 7, 2), relu(), nn.MaxPool2d(3, 2, padding=1))
        self.encoder = nn.ModuleList([_stage(width, width, 3, 1)])
        for level, depth in ((1, 4), (2, 6), (4, 3)):
            self.encoder.append(_stage(level * width, 2 * level * width, depth, 2))
        self.bottleneck = nn.Sequential(Residual(8 * width, 16 * width, 2), nn.Dropout2d(dropout))
        self.decoder = Decoder(width)
        self.upsample = nn.Sequential(*(layer for _ in range(2) for layer in _upsample(width)))
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Map images `(N, 3, H, W)` to logits `(N, 1, H, W)`."""
        x, skips = self.stem(pad(images, self.multiple)), []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        logits = self.head(self.upsample(self.decoder(self.bottleneck(x), skips)))
        return logits[..., : images.shape[-2], : images.shape[-1]]


def _stage(inputs: int, outputs: int, depth: int, stride: int) -> nn.Sequential:
    rest = (Residual(outputs, outputs) for _ in range(depth - 1))
    return nn.Sequential(Residual(inputs, outputs, stride), *rest)


def _upsample(channels: int) -> list[nn.Module]:
    """Double height and width."""
    return [nn.ConvTranspose2d(channels, channels, 2, stride=2, bias=False), BatchNorm(channels), relu()]


build = ResNetUNet  # what `models.build` calls
