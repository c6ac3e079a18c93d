"""Scores of the contour, where the pixels of an object say little: at the image's own size."""

from collections.abc import Sequence
from math import hypot

import cv2
import numpy as np
from numpy.typing import NDArray

from segmentation.common.geometry import Mask

BAND = 0.02  # width of the band of Boundary IoU, as a share of the image's diagonal
TOLERANCES = (1, 2)  # pixels, of the surface Dice
# Length of the contour in a cell of 2x2 pixels, by which of them are foreground (bits 8, 4, 2, 1): a corner
# is cut at half the diagonal, a side is 1 long.
_CORNER, _SIDE = np.sqrt(2) / 2, 1.0
_LENGTHS = np.zeros(256)
_LENGTHS[:16] = [
    0, _CORNER, _CORNER, _SIDE, _CORNER, _SIDE, 2 * _CORNER, _CORNER,
    _CORNER, 2 * _CORNER, _SIDE, _CORNER, _SIDE, _CORNER, _CORNER, 0,
]  # fmt: skip


def band_width(shape: tuple[int, ...]) -> int:
    """Return the width in pixels of the band along a contour, at least 1, in an image `(H, W)`."""
    return max(1, round(BAND * hypot(*shape[:2])))


def object_width(mask: Mask) -> float:
    """Return the width in pixels of the foreground of a mask `(H, W)` of 0 and 1; 0 if there is none.

    Six times the mean distance to the background: the diameter of a disc, 1.5 times the width of a line.
    """
    framed = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    distances = cv2.distanceTransform(framed, cv2.DIST_L2, 5)
    return 6 * max(0.0, cv2.mean(distances, framed)[0] - 0.5)  # to the edge of a pixel


def boundary_iou(predictions: Sequence[Mask], target: Mask) -> list[float]:
    """Return the IoU of the band of each prediction with that of the target; 0/0 is 1.

    Masks are `(H, W)` of 0 and 1. A band is the pixels of a mask within 2 % of the image's diagonal of its
    contour, to which the edge of the image belongs. Cheng et al. 2021, arXiv:2103.16562.
    """
    kernel, scores = square(band_width(target.shape)), []
    true, *bands = (
        mask > cv2.erode(mask, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
        for mask in (target, *predictions)
    )
    for predicted in bands:
        union = np.count_nonzero(predicted | true)
        scores.append(np.count_nonzero(predicted & true) / union if union else 1.0)
    return scores


def surface_dice(predictions: Sequence[Mask], target: Mask) -> list[list[float]]:
    """Return, for each prediction, the share of both contours within 1 pixel, and within 2, of the other.

    Masks are `(H, W)` of 0 and 1; 0/0 is 1. Nikolov et al. 2018, arXiv:1809.04430, as in surface-distance.
    """
    true = _contour(target)
    near_true, scores = [_near(true, tolerance) for tolerance in TOLERANCES], []
    for prediction in predictions:
        predicted = _contour(prediction)
        total = float(predicted.sum() + true.sum())
        within = [
            float(predicted[near].sum() + true[_near(predicted, tolerance)].sum())
            for tolerance, near in zip(TOLERANCES, near_true, strict=True)
        ]
        # Rounding may pass 1.
        scores.append([min(1.0, length / total) if total else 1.0 for length in within])
    return scores


def square(reach: int) -> NDArray[np.uint8]:
    """Return the kernel of the pixels up to `reach` to each side, for OpenCV."""
    return np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)


def _contour(mask: Mask) -> NDArray[np.float64]:
    """The length of the contour in each cell of four neighbouring pixels, `(H + 1, W + 1)`."""
    framed = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    cells = 8 * framed[:-1, :-1] + 4 * framed[:-1, 1:] + 2 * framed[1:, :-1] + framed[1:, 1:]
    return cv2.LUT(cells, _LENGTHS).astype(np.float64, copy=False)


def _near(contour: NDArray[np.float64], tolerance: int) -> NDArray[np.bool_]:
    """Which cells are at most `tolerance` cells, from centre to centre, from one that the contour crosses."""
    reach = np.arange(-tolerance, tolerance + 1) ** 2
    disc = (reach[:, None] + reach <= tolerance**2).astype(np.uint8)
    return cv2.dilate((contour > 0).astype(np.uint8), disc) > 0
