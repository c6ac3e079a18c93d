"""Scores of the contour, where the pixels of an object say little: at the image's own size."""

from math import hypot

import cv2
import numpy as np
from numpy.typing import NDArray

from segmentation.geometry import Mask

BAND = 0.02  # width of the band of Boundary IoU, as a share of the image's diagonal
TOLERANCES = (1, 2)  # pixels, of the surface Dice
# Length of the contour in a cell of 2x2 pixels, by which of them are foreground (bits 8, 4, 2, 1): a corner
# is cut at half the diagonal, a side is 1 long.
_CORNER, _SIDE = np.sqrt(2) / 2, 1.0
_LENGTHS = np.array([
    0, _CORNER, _CORNER, _SIDE, _CORNER, _SIDE, 2 * _CORNER, _CORNER,
    _CORNER, 2 * _CORNER, _SIDE, _CORNER, _SIDE, _CORNER, _CORNER, 0,
])  # fmt: skip


def band_width(shape: tuple[int, ...]) -> int:
    """Return the width in pixels of the band along a contour, at least 1, in an image `(H, W)`."""
    return max(1, round(BAND * hypot(*shape[:2])))


def boundary_iou(prediction: Mask, target: Mask) -> float:
    """IoU of the bands of both masks, `(H, W)` of 0 and 1: their pixels within 2 % of the diagonal of the
    contour, to which the edge of the image belongs. 0/0 is 1. Cheng et al. 2021, arXiv:2103.16562.
    """
    width = band_width(target.shape)
    predicted, true = _inner_band(prediction, width), _inner_band(target, width)
    union = int((predicted | true).sum())
    return int((predicted & true).sum()) / union if union else 1.0


def surface_dice(prediction: Mask, target: Mask) -> list[float]:
    """Share of both contours that lies within 1 pixel, and within 2, of the other one; 0/0 is 1.

    Masks are `(H, W)` of 0 and 1. Nikolov et al. 2018, arXiv:1809.04430, as in DeepMind's surface-distance.
    """
    predicted, true = _contour(prediction), _contour(target)
    total = float(predicted.sum() + true.sum())
    if not total:
        return [1.0 for _ in TOLERANCES]
    near = [
        float(predicted[_near(true, tolerance)].sum() + true[_near(predicted, tolerance)].sum())
        for tolerance in TOLERANCES
    ]
    return [min(1.0, each / total) for each in near]  # rounding may pass 1


def _inner_band(mask: Mask, width: int) -> Mask:
    framed = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(framed, np.ones((3, 3), np.uint8), iterations=width)
    return (mask > eroded[1:-1, 1:-1]).astype(np.uint8)


def _contour(mask: Mask) -> NDArray[np.float64]:
    """The length of the contour in each cell of four neighbouring pixels, `(H + 1, W + 1)`."""
    framed = np.pad(mask, 1)
    return _LENGTHS[8 * framed[:-1, :-1] + 4 * framed[:-1, 1:] + 2 * framed[1:, :-1] + framed[1:, 1:]]


def _near(contour: NDArray[np.float64], tolerance: int) -> NDArray[np.bool_]:
    """Which cells are at most `tolerance` cells, from centre to centre, from one that the contour crosses."""
    reach = np.arange(-tolerance, tolerance + 1) ** 2
    disc = (reach[:, None] + reach <= tolerance**2).astype(np.uint8)
    return cv2.dilate((contour > 0).astype(np.uint8), disc) > 0
