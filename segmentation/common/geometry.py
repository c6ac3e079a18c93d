"""Between an image of any size and what a network sees of it: the one place that resizes and fills."""

from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

cv2.setNumThreads(0)  # the loader's workers are the parallelism; OpenCV's threads would compete with them

_HALF = 0.5 - 1e-6  # of a pixel: sums of float32 may fall short of it
IGNORED = 255  # in a mask: a pixel that the image does not cover; it enters no loss and no score

Image = NDArray[np.uint8]  # (H, W, 3), RGB
Mask = NDArray[np.uint8]  # (H, W), 0 or 1
Probabilities = NDArray[np.float32]  # (H, W), of foreground
Resize = Literal["linear", "area"]
Fit = Literal["stretch", "pad", "tiles"]


class Geometry(NamedTuple):
    """How an image becomes what a network sees, and how probabilities come back; a checkpoint names it.

    A network sees windows of `size` x `size` pixels. The image is resized first, by its `fit`:

    - `stretch`: squashed to one window
    - `pad`: its longer side becomes `size`, so that it keeps its shape
    - `tiles`: both sides times `scale`; the windows that cover it overlap

    What an image leaves of a window is filled with the colour `fill`. `linear` takes the four nearest pixels,
    however many there are, as in the lab report; `area` the mean of all pixels that a pixel of the result
    covers, where that is smaller. Pixel centres stay in place, in both and in both directions.
    """

    size: int
    resize: Resize = "linear"
    fit: Fit = "stretch"
    scale: float = 1.0
    fill: tuple[int, int, int] = (0, 0, 0)  # red, green, blue

    @property
    def has_filling(self) -> bool:
        """Whether an image may leave a part of its window, which is filled and must not count."""
        return self.fit != "stretch"

    def network_shape(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width in pixels at which networks see an image, without the filling."""
        if self.fit == "stretch":
            return self.size, self.size
        factor = self.scale if self.fit == "tiles" else self.size / max(height, width)
        return max(1, round(height * factor)), max(1, round(width * factor))

    def to_network(self, image: Image) -> Image:
        """Return an image `(H, W, 3)` at its `network_shape`."""
        return self._resized(image).astype(np.uint8, copy=False)

    def mask_to_network(self, mask: Mask) -> Mask:
        """Return a mask `(H, W)` at its `network_shape`: what is at least half covered.

        Foreground that covers half of no pixel keeps the one that it covers most. Were the mask empty, a
        network would be taught to miss it, and the validation would praise that: Dice is 1 where nothing is
        predicted and nothing is there.

        The lab report takes OpenCV's nearest pixel, which counts from pixel corners where bilinear counts
        from centres: its masks lie half a pixel off their images.
        """
        result = (self._coverage(mask) >= _HALF).astype(np.uint8)
        if not result.any() and mask.any():
            covered = self._replace(resize="area")._coverage(mask)  # linear may have passed it over
            result.flat[covered.argmax()] = 1
        return result

    def kept_area(self, mask: Mask) -> float:
        """Return how much of the foreground's area is left where it covers half of a pixel, as a share.

        0 where it covers half of no pixel. The mask `(H, W)` must have foreground.
        """
        return float((self._coverage(mask) >= _HALF).mean() / mask.mean())

    def filled(self, pixels: NDArray[Any], fill: int | tuple[int, int, int]) -> NDArray[Any]:
        """Return an image or mask, at its `network_shape`, with `fill` around it up to at least a window."""
        height, width = (max(side, self.size) for side in pixels.shape[:2])
        if pixels.shape[:2] == (height, width):
            return pixels
        return cut(pixels, *self._margins(*pixels.shape[:2]), height, width, fill)

    def unfilled(self, pixels: NDArray[Any], height: int, width: int) -> NDArray[Any]:
        """Return what `filled` was given, of `height` and `width`."""
        top, left = self._margins(height, width)
        return pixels[-top : height - top, -left : width - left]

    def to_image(self, probabilities: Probabilities, height: int, width: int) -> Probabilities:
        """Return the probabilities of an image at its own size, `(height, width)`: bilinear."""
        if probabilities.shape == (height, width):
            return probabilities
        resized = cv2.resize(probabilities, (width, height), interpolation=cv2.INTER_LINEAR)
        return resized.astype(np.float32, copy=False)

    def _margins(self, height: int, width: int) -> tuple[int, int]:
        """Return where a window in whose middle an image is begins: row and column, 0 or below."""
        return min(0, height - self.size) // 2, min(0, width - self.size) // 2

    def _coverage(self, mask: Mask) -> NDArray[np.float32]:
        """Return the share of foreground in each pixel that a network sees."""
        return self._resized(mask.astype(np.float32))

    def _resized(self, pixels: NDArray[Any]) -> NDArray[Any]:
        height, width = self.network_shape(*pixels.shape[:2])
        if pixels.shape[:2] == (height, width):
            return pixels
        if self.resize == "area":  # each axis by itself: one may shrink while the other grows
            rows, columns = min(pixels.shape[0], height), min(pixels.shape[1], width)
            pixels = cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA)
        return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)


def cut(
    pixels: NDArray[Any], top: int, left: int, height: int, width: int, fill: int | tuple[int, int, int]
) -> NDArray[Any]:
    """Return a copy of a part of an image or mask, which may reach beyond it: what is there is `fill`."""
    result = np.empty((height, width, *pixels.shape[2:]), pixels.dtype)
    result[:] = fill
    rows = slice(max(top, 0), max(0, min(top + height, pixels.shape[0])))
    columns = slice(max(left, 0), max(0, min(left + width, pixels.shape[1])))
    inside = pixels[rows, columns]
    below, right = rows.start - top, columns.start - left
    result[below : below + inside.shape[0], right : right + inside.shape[1]] = inside
    return result
