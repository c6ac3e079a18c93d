"""The random changes of the training images."""

import os
import random

import cv2
import numpy as np

from segmentation.common.geometry import Image, Mask
from segmentation.params import Augment

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the package index at import
import albumentations as A

BORDERS = {"black": cv2.BORDER_CONSTANT, "reflect": cv2.BORDER_REFLECT_101}
HUE = 1 / 6  # of the strength of the other changes: another hue soon looks like another animal


class Augmentation:
    """The random changes of an image `(H, W, 3)` and its mask `(H, W)`, both uint8.

    An affine map (shift by up to 10 % and rotation by up to 30 degrees, as in the lab report), a left-right
    flip, and a change of brightness, contrast, saturation and hue in random order (of the image alone).
    """

    def __init__(self, settings: Augment) -> None:
        # Every argument is spelled out, because the library's defaults change between releases.
        self._compose = A.Compose(
            [_affine(settings), A.HorizontalFlip(p=settings.flip), _color(settings.color)]
        )

    def __call__(self, image: Image, mask: Mask, stream: np.random.SeedSequence) -> tuple[Image, Mask]:
        """Return the image and mask, changed as `stream` determines."""
        # All transforms draw in turn from these two. (`set_random_seed` would give each of them a
        # generator of the same seed: flip, shift and brightness would come together.)
        first, second = stream.spawn(2)
        python = random.Random(int(second.generate_state(1, np.uint64)[0]))
        self._compose.set_random_state(np.random.default_rng(first), python)
        changed = self._compose(image=image, mask=mask)
        return changed["image"], changed["mask"]


def _affine(settings: Augment) -> A.Affine:
    scale, shear = tuple(settings.scale), (-settings.shear, settings.shear)
    return A.Affine(
        scale={"x": scale, "y": scale},
        translate_percent={"x": (-0.1, 0.1), "y": (-0.1, 0.1)},
        rotate=(-30, 30),
        shear={"x": shear, "y": shear},
        interpolation=cv2.INTER_LINEAR,
        mask_interpolation=cv2.INTER_NEAREST,
        fit_output=False,
        keep_ratio=False,  # x and y are scaled independently
        rotate_method="largest_box",
        balanced_scale=False,
        border_mode=BORDERS[settings.border],
        fill=0,
        fill_mask=0,
        p=settings.affine,
    )


def _color(strength: float) -> A.ColorJitter:
    factors, hue = (1 - strength, 1 + strength), strength * HUE
    probability = 1.0 if strength else 0.0
    return A.ColorJitter(
        brightness=factors, contrast=factors, saturation=factors, hue=(-hue, hue), p=probability
    )
