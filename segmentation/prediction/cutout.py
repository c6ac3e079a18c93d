"""Cut-outs: the foreground alone, its edge freed of the background's colour.

At a soft edge the pixels of a photo are a mixture of both: with alpha alone, a halo of the old background
remains. Blur fusion (M. Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021,
doi:10.1109/ICIP42928.2021.9506164) estimates the colour of the foreground from the colours around.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from segmentation.common.geometry import Image

Floats = NDArray[np.float32]

KERNELS = 91, 7  # widths of the two box blurs in pixels: the paper's 90 and 6, but centred on their pixel
WORKING_SIZE = 256  # pixels of the longest side at which mean colours are taken: the blurs grow with a photo
STRIP = 256  # rows at a time, for little memory
EPSILON = 1e-5


def cut_out(image: Image, alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a photo `(H, W, 3)` with its `alpha` `(H, W)` as straight RGBA `(H, W, 4)`.

    Where alpha is 255, the colours are those of the photo.
    """
    height, width = alpha.shape
    scale = min(1.0, WORKING_SIZE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small_image, small_alpha = (
        cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32) for pixels in (image, alpha)
    )
    means = _mean_colors(small_image, small_alpha)
    result = np.empty((height, width, 4), np.uint8)
    result[..., 3] = alpha
    for top in range(0, height, STRIP):
        rows = slice(top, min(top + STRIP, height))
        foreground, background = (_enlarged(mean, rows, height, width) for mean in means)
        share = (alpha[rows, :, None] / 255).astype(np.float32)
        colors = _unmix(image[rows].astype(np.float32), share, foreground, background)
        result[rows, :, :3] = np.rint(colors)
    return result


def _mean_colors(image: Floats, alpha: Floats) -> tuple[Floats, Floats]:
    """Return the mean colours of foreground and background around each pixel: the paper's two passes."""
    share = (alpha / 255)[..., None].astype(np.float32)
    foreground = background = image
    for kernel in KERNELS:
        near = cv2.blur(share, (kernel, kernel))[..., None]
        mean_foreground = cv2.blur(foreground * share, (kernel, kernel)) / (near + EPSILON)
        background = cv2.blur(background * (1 - share), (kernel, kernel)) / (1 - near + EPSILON)
        foreground = _unmix(image, share, mean_foreground, background)
    return mean_foreground, background


def _unmix(image: Floats, share: Floats, foreground: Floats, background: Floats) -> Floats:
    """Return the colour that, mixed with the background, explains the image best: equation 4 of the paper."""
    mixed = share * foreground + (1 - share) * background
    return np.clip(foreground + share * (image - mixed), 0, 255)


def _enlarged(mean: Floats, rows: slice, height: int, width: int) -> Floats:
    """Return some rows of `mean` enlarged to `(height, width)`: bilinear, pixel centres in place."""
    scale_y, scale_x = mean.shape[0] / height, mean.shape[1] / width
    # Where a pixel of the result lies in `mean`: x * scale_x + shift, likewise y.
    shift_x, shift_y = (scale_x - 1) / 2, (rows.start + 0.5) * scale_y - 0.5
    matrix = np.array([[scale_x, 0, shift_x], [0, scale_y, shift_y]])
    size, flags = (width, rows.stop - rows.start), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    enlarged = cv2.warpAffine(mean, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return enlarged.astype(np.float32, copy=False)
