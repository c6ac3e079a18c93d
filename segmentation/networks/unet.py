"""U-Net, Ronneberger et al. 2015, arXiv:1505.04597, here padded and with batch normalisation."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from segmentation.layers.blocks import Decoder, double_conv, pad

TITLE = "U-Net"


class UNet(nn.Module):
    """U-Net: four levels w to 8w, a bottleneck of 16w. 31,037,633 parameters at width 64."""

    multiple = 16

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        levels = [3, width, 2 * width, 4 * width, 8 * width]
        self.encoder = nn.ModuleList(double_conv(inputs, outputs) for inputs, outputs in pairwise(levels))
        self.bottleneck = nn.Sequential(double_conv(8 * width, 16 * width), nn.Dropout2d(dropout))
        self.decoder = Decoder(width)
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Map images `(N, 3, H, W)` to logits `(N, 1, H, W)`."""
        x, skips = pad(images, self.multiple), []
        for block in self.encoder:
            skips.append(block(x))
            x = F.max_pool2d(skips[-1], 2)
        logits = self.head(self.decoder(self.bottleneck(x), skips))
        return logits[..., : images.shape[-2], : images.shape[-1]]


build = UNet  # what `models.build` calls
