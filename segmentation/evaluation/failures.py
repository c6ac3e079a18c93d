"""What the false pixels of a prediction are."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segmentation.common.geometry import Mask
from segmentation.evaluation.boundary import band_width, object_width, square

KINDS = ("missed object", "extra region", "hole", "boundary")
WRONG_MASK = "mask looks wrong"
BAND = 1 / 8  # of the width of the objects: the widest band along their contours
AGREE, DISAGREE = 0.9, 0.75  # Dice of two networks with each other, and of each with the mask


def false_pixels(predictions: Sequence[Mask], target: Mask) -> NDArray[np.int64]:
    """Count the false pixels of each of `KINDS`, for each of N predictions: `(N, 4)`.

    Masks are `(H, W)` of 0 and 1. The first rule that applies:

    - missed object: missed, in an object (8-connected) of which nothing was found
    - extra region: found, in a predicted region (8-connected) that touches no object
    - hole: missed, and enclosed by predicted foreground
    - boundary: near the contour of an object, on either side: within 2 % of the image's diagonal (the band of
      Boundary IoU), but no more than an eighth of the objects' width, which the band would swallow
    - otherwise missed object, if missed (a part of one, such as a leg), or extra region, if found (a bulge)
    """
    kernel = square(max(1, min(band_width(target.shape), int(BAND * object_width(target)))))
    band = cv2.dilate(target, kernel) > cv2.erode(target, kernel)
    objects, counts = _regions(target), []
    for prediction in predictions:
        missed, extra, both = target > prediction, prediction > target, (target & prediction) == 1
        part_missed = missed & _touching(objects, both)
        background = cv2.copyMakeBorder(1 - prediction, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
        _, labels = cv2.connectedComponents(background, connectivity=4)
        outside = (labels == labels[0, 0])[1:-1, 1:-1]  # the background that reaches the image's edge
        hole = np.count_nonzero(part_missed & ~outside)
        missed_near = np.count_nonzero(part_missed & outside & band)
        extra_near = np.count_nonzero(extra & _touching(_regions(prediction), both) & band)
        missed_count, extra_count = np.count_nonzero(missed), np.count_nonzero(extra)
        objects_missed, regions_extra = missed_count - hole - missed_near, extra_count - extra_near
        counts.append([objects_missed, regions_extra, hole, missed_near + extra_near])
    return np.array(counts)


def failure(pixels: Sequence[int] | NDArray[np.int64], wrong_mask: bool = False) -> str:
    """Return the kind of most false pixels, the first of several, or nothing if there are none."""
    if wrong_mask:
        return WRONG_MASK
    return KINDS[int(np.argmax(pixels))] if any(pixels) else ""


def mask_looks_wrong(
    agreement: NDArray[np.float64], dice: Sequence[NDArray[np.float64]]
) -> NDArray[np.bool_]:
    """Whether networks agree with each other, by the Dice of their predictions, and not with the mask."""
    return (agreement >= AGREE) & (np.max(dice, axis=0) < DISAGREE)


def _regions(mask: Mask) -> tuple[int, NDArray[np.int32]]:
    """Number the 8-connected regions of a mask from 1: return one more than there are, and each pixel's."""
    count, labels = cv2.connectedComponents(mask, connectivity=8)
    return count, labels.astype(np.int32, copy=False)


def _touching(regions: tuple[int, NDArray[np.int32]], inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of those regions that have one of the pixels `inside`."""
    count, labels = regions
    touched = np.zeros(count, np.bool_)
    touched[labels[inside]] = True
    return touched.take(labels)


def failure_table(
    pixels: NDArray[np.int64], dice: NDArray[np.float64], wrong: NDArray[np.bool_]
) -> dict[str, dict[str, Any]]:
    """Return, for each kind of failure of one network, where the lost Dice goes.

    `pixels` are the `false_pixels` of N images, `dice` their Dice at own size, `wrong` those whose mask looks
    wrong: their lost Dice, 1 - Dice, is of that kind. That of the others is shared out by false pixels.
    `images` counts those of which the kind is the main one.
    """
    shares = pixels / np.maximum(1, pixels.sum(axis=1, keepdims=True))
    shares = np.concatenate([np.where(wrong[:, None], 0, shares), wrong[:, None]], axis=1)
    lost = (1 - dice)[:, None] * shares
    main = [failure(row, bool(flag)) for row, flag in zip(pixels, wrong, strict=True)]
    return {
        kind: {"images": main.count(kind), "lost_dice": float(lost[:, k].sum() / max(lost.sum(), 1e-12))}
        for k, kind in enumerate((*KINDS, WRONG_MASK))
    }
