"""What the networks are built from; `w` is the width, the number of channels of the first level.

U-Net: Ronneberger et al. 2015, arXiv:1505.04597, here padded and with batch normalisation.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmentation.layers.batchnorm import BatchNorm


def conv_bn(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    """Convolution without a bias (the normalisation has one), then batch normalisation."""
    return [Convolution(inputs, outputs, kernel, stride), BatchNorm(outputs)]


def relu() -> nn.Module:
    """Return a ReLU that overwrites its input."""
    return nn.ReLU(inplace=True)


def double_conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Return U-Net's block: twice (3x3 convolution, batch normalisation, ReLU); the first has the stride."""
    first = conv_bn(inputs, outputs, stride=stride)
    return nn.Sequential(*first, relu(), *conv_bn(outputs, outputs), relu())


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


class Convolution(nn.Conv2d):
    """A convolution with an odd square kernel, padded by zeros to keep the size, without a bias.

    It is computed as one matrix product where that is faster. With a 1x1 kernel, it takes every `stride`-th
    pixel first and has no stride: with a stride, oneDNN writes past its workspace in the gradient of the
    weights if there are fewer than 16 channels, channels last: github.com/uxlfoundation/oneDNN/issues/6035.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """Map `(N, inputs, H, W)` to `(N, outputs, H / stride, W / stride)`, rounded up."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if kernel == 1:
            return F.conv2d(input[..., ::stride, ::stride], self.weight)
        images, _, height, width = input.shape
        # An exported graph has convolutions, and so has what runs on an accelerator.
        if input.device.type == "cpu" and not torch.compiler.is_compiling():
            autocast = torch.is_autocast_enabled("cpu")
            dtype = torch.get_autocast_dtype("cpu") if autocast else input.dtype
            rows = images * -(-height // stride) * -(-width // stride)
            if prefers_matrix_product(rows, self.in_channels, self.out_channels, dtype):
                return as_matrix_product(input, self.weight, stride)
        return super().forward(input)


def prefers_matrix_product(rows: int, inputs: int, outputs: int, dtype: torch.dtype) -> bool:
    """Return whether a 3x3 convolution is faster as a matrix product, for `rows` pixels of output in a batch.

    The library's convolution works pixel by pixel, so it is slow where pixels are few and weights are many.
    Measured with one and two threads, forward and backward: docs/log.md, "Convolutions on small maps".
    """
    fewer = min(inputs, outputs)
    if dtype == torch.bfloat16:
        return rows <= 256 <= fewer
    return dtype == torch.float32 and 16 < rows <= 64 and fewer >= 512


def as_matrix_product(input: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Convolve `(N, C, H, W)` with weights `(outputs, C, k, k)`, k odd, padded by zeros to keep the size.

    Each row of the matrix holds the k² C values that an output pixel is computed from. Channels last, the
    weights are a matrix as they lie in memory.
    """
    kernel, (height, width) = weight.shape[-1], input.shape[-2:]
    padded = F.pad(input.permute(0, 2, 3, 1), (0, 0, *[kernel // 2] * 4))
    shifted = [
        padded[:, down : down + height : stride, across : across + width : stride]
        for down in range(kernel)
        for across in range(kernel)
    ]
    product = F.linear(torch.cat(shifted, dim=-1), weight.permute(0, 2, 3, 1).flatten(1))
    return product.permute(0, 3, 1, 2)
