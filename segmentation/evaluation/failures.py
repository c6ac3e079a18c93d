"""What the false pixels of a prediction are."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segmentation.evaluation.boundary import band_width
from segmentation.geometry import Mask

KINDS = ("missed object", "extra region", "hole", "boundary")
WRONG_MASK = "mask looks wrong"
EXAMPLES = 3  # of each kind
AGREE, DISAGREE = 0.9, 0.75  # Dice of two networks with each other, and of each with the mask


def false_pixels(prediction: Mask, target: Mask) -> list[int]:
    """Count the false pixels of each of `KINDS`; masks are `(H, W)` of 0 and 1. The first rule that applies:

    - missed object: missed, in an object (8-connected) of which nothing was found
    - extra region: found, in a predicted region (8-connected) that touches no object
    - hole: missed, and enclosed by predicted foreground
    - boundary: within 2 % of the image's diagonal of the contour of an object, on either side (the width of
      the band of Boundary IoU)
    - otherwise missed object, if missed (a part of one, such as a leg), or extra region, if found (a bulge)
    """
    missed, extra = target & ~prediction & 1, prediction & ~target & 1
    if not (missed.any() or extra.any()):
        return [0 for _ in KINDS]
    whole_missed = missed & ~_touching(target, prediction) & 1
    whole_extra = extra & ~_touching(prediction, target) & 1
    hole = missed & _enclosed(prediction) & ~whole_missed & 1
    square = np.ones((2 * band_width(target.shape) + 1,) * 2, np.uint8)
    near, within = (change(target, square).astype(np.uint8) for change in (cv2.dilate, cv2.erode))
    band = near & ~within & 1
    rest = (missed | extra) & ~(whole_missed | whole_extra | hole) & 1
    boundary, beyond = rest & band, rest & ~band & 1
    return [
        int((whole_missed | (beyond & missed)).sum()),
        int((whole_extra | (beyond & extra)).sum()),
        int(hole.sum()),
        int(boundary.sum()),
    ]


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


def _touching(mask: Mask, other: Mask) -> Mask:
    """The regions of `mask` that have a pixel in common with `other`."""
    count, labels = cv2.connectedComponents(mask, connectivity=8)
    touched = np.zeros(count, np.uint8)
    touched[labels[(mask & other) == 1]] = 1
    return touched[labels]


def _enclosed(mask: Mask) -> Mask:
    """The background of `mask` from which no path (4-connected) leads to the edge of the image."""
    outside = np.pad(1 - mask, 1, constant_values=1)
    _, labels = cv2.connectedComponents(outside, connectivity=4)
    return ((labels != labels[0, 0]) & (outside == 1))[1:-1, 1:-1].astype(np.uint8)


def failure_table(
    pixels: NDArray[np.int64], dice: NDArray[np.float64], wrong: NDArray[np.bool_], ids: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return, for each kind of failure of one network, where the lost Dice goes.

    `pixels` are the `false_pixels` of N images, `dice` their Dice at own size, `wrong` those whose mask looks
    wrong: their lost Dice, 1 - Dice, is of that kind. That of the others is shared out by false pixels.
    `images` counts those of which the kind is the main one; `examples` are those that lost most by it.
    """
    kinds = [*KINDS, WRONG_MASK]
    shares = pixels / np.maximum(1, pixels.sum(axis=1, keepdims=True))
    shares = np.concatenate([np.where(wrong[:, None], 0, shares), wrong[:, None]], axis=1)
    lost = (1 - dice)[:, None] * shares
    main = [failure(each, bool(flag)) for each, flag in zip(pixels, wrong, strict=True)]
    return {
        kind: {
            "images": main.count(kind),
            "lost_dice": float(lost[:, k].sum() / max(lost.sum(), 1e-12)),
            "examples": [ids[i] for i in np.argsort(-lost[:, k], kind="stable")[:EXAMPLES] if lost[i, k] > 0],
        }
        for k, kind in enumerate(kinds)
    }
