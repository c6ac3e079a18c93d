"""Between an image of any size and the square that a network sees: the one place that resizes."""

from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

cv2.setNumThreads(0)  # the loader's workers are the parallelism; OpenCV's threads would compete with them

_HALF = 0.5 - 1e-6  # of a pixel: sums of float32 may fall short of it

Image = NDArray[np.uint8]  # (H, W, 3), RGB
Mask = NDArray[np.uint8]  # (H, W), 0 or 1
Probabilities = NDArray[np.float32]  # (H, W), of foreground
Resize = Literal["linear", "area"]


class Geometry(NamedTuple):
    """How an image becomes what a network sees, and how probabilities come back; a checkpoint names it.

    An image is squashed to a square of `size` pixels. `linear` takes the four nearest pixels, however many
    there are, as in the lab report; `area` the mean of all pixels that a pixel of the square covers, where
    the square is smaller. Pixel centres stay in place, in both and in both directions.
    """

    size: int
    resize: Resize = "linear"

    def to_network(self, image: Image) -> Image:
        """Return an image `(H, W, 3)` as a network sees it, `(size, size, 3)`."""
        return self._squashed(image).astype(np.uint8, copy=False)

    def mask_to_network(self, mask: Mask) -> Mask:
        """Return a mask `(H, W)` as a network sees it, `(size, size)`: what is at least half covered.

        Foreground that covers half of no pixel keeps the one that it covers most. Were the mask empty, a
        network would be taught to miss it, and the validation would praise that: Dice is 1 where nothing is
        predicted and nothing is there.

        The lab report takes OpenCV's nearest pixel, which counts from pixel corners where bilinear counts
        from centres: its masks lie half a pixel off their images.
        """
        result = self._half_covered(mask).astype(np.uint8)
        if not result.any() and mask.any():
            covered = self._replace(resize="area")._coverage(mask)  # linear may have passed it over
            result.flat[covered.argmax()] = 1
        return result

    def kept_area(self, mask: Mask) -> float:
        """Return how much of the foreground's area is left where it covers half of a pixel, as a share.

        0 where it covers half of no pixel. The mask `(H, W)` must have foreground.
        """
        return float(self._half_covered(mask).mean() / mask.mean())

    def to_image(self, probabilities: Probabilities, height: int, width: int) -> Probabilities:
        """Return the probabilities `(size, size)` at an image's own size, `(height, width)`: bilinear."""
        resized = cv2.resize(probabilities, (width, height), interpolation=cv2.INTER_LINEAR)
        return resized.astype(np.float32, copy=False)

    def _half_covered(self, mask: Mask) -> NDArray[np.bool_]:
        return self._coverage(mask) >= _HALF

    def _coverage(self, mask: Mask) -> NDArray[np.float32]:
        """Return the share of foreground in each pixel of the square, `(size, size)`."""
        return self._squashed(mask.astype(np.float32))

    def _squashed(self, pixels: NDArray[Any]) -> NDArray[Any]:
        if self.resize == "area":  # each axis by itself: one may shrink while the other grows
            height, width = (min(side, self.size) for side in pixels.shape[:2])
            pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        return cv2.resize(pixels, (self.size, self.size), interpolation=cv2.INTER_LINEAR)
