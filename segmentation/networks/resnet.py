"""ResNet34 with U-Net's decoder.

ResNet34: He et al. 2015, arXiv:1512.03385, table 1, here with the lab report's residual block.
"""

from torch import Tensor, nn

from segmentation.layers.batchnorm import BatchNorm
from segmentation.layers.blocks import Decoder, conv_bn, pad, relu

TITLE = "ResNet34-UNet"


def build(width: int, dropout: float) -> nn.Module:
    """Return ResNet34-UNet; `models.build` says what the arguments mean."""
    return ResNetUNet(width, dropout)


class Residual(nn.Module):
    """The lab report's residual block: both convolutions end in BN + ReLU, the sum is not activated again."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *conv_bn(inputs, outputs, stride=stride), relu(), *conv_bn(outputs, outputs), relu()
        )
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
        """Map images `(N, 3, H, W)` to logits `(N, 1, H, W)`."""
        x, skips = self.stem(pad(images, self.multiple)), []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        logits = self.head(self.upsample(self.decoder(self.bottleneck(x), skips)))
        return logits[..., : images.shape[-2], : images.shape[-1]]


def _upsample(channels: int) -> list[nn.Module]:
    """Double height and width."""
    return [nn.ConvTranspose2d(channels, channels, 2, stride=2, bias=False), BatchNorm(channels), relu()]
