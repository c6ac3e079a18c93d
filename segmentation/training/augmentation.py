"""The random changes of the training images."""

import os
import random
from math import ceil, radians, sqrt, tan

import cv2
import numpy as np

from segmentation.common.geometry import IGNORED, Geometry, Image, Mask
from segmentation.params import Augment

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the package index at import
import albumentations as A

BORDERS = {"black": cv2.BORDER_CONSTANT, "reflect": cv2.BORDER_REFLECT_101}
SHIFT = 0.1  # of the side of a window
REACH = (0.5 + SHIFT) * (sqrt(0.75) + 0.5)  # of a window: from its middle, shifted and rotated, to its corner
HUE = 1 / 6  # of the strength of the other changes: another hue soon looks like another animal


class Augmentation:
    """The random changes of an image `(H, W, 3)` and its mask `(H, W)`, both uint8.

    An affine map (shift by up to 10 % and rotation by up to 30 degrees, as in the lab report), a left-right
    flip, and a change of brightness, contrast, saturation and hue in random order (of the image alone).
    Of an image that is not stretched to the window, it takes `margin` more pixels on each side, from which
    the affine map reads, and returns the window.
    """

    def __init__(self, settings: Augment, geometry: Geometry) -> None:
        size = geometry.size
        takes_margin = geometry.has_filling and settings.affine > 0
        reach = REACH * (1 + tan(radians(settings.shear))) / min(1, settings.scale[0])
        self.margin = ceil(size * (reach - 0.5)) if takes_margin else 0
        # Every argument is spelled out, because the library's defaults change between releases.
        window = [A.CenterCrop(size, size, pad_if_needed=False, p=1.0)] if self.margin else []
        affine = _affine(settings, geometry, shift=SHIFT * size / (size + 2 * self.margin))
        self._compose = A.Compose(
            [affine, *window, A.HorizontalFlip(p=settings.flip), _color(settings.color)]
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


def _affine(settings: Augment, geometry: Geometry, shift: float) -> A.Affine:
    scale, shear = tuple(settings.scale), (-settings.shear, settings.shear)
    return A.Affine(
        scale={"x": scale, "y": scale},
        translate_percent={"x": (-shift, shift), "y": (-shift, shift)},
        rotate=(-30, 30),
        shear={"x": shear, "y": shear},
        interpolation=cv2.INTER_LINEAR,
        mask_interpolation=cv2.INTER_NEAREST,
        fit_output=False,
        keep_ratio=False,  # x and y are scaled independently
        rotate_method="largest_box",
        balanced_scale=False,
        border_mode=cv2.BORDER_CONSTANT if geometry.has_filling else BORDERS[settings.border],
        fill=geometry.fill,
        fill_mask=IGNORED if geometry.has_filling else 0,
        p=settings.affine,
    )


def _color(strength: float) -> A.ColorJitter:
    gain, hue = (1 - strength, 1 + strength), strength * HUE
    probability = 1.0 if strength else 0.0
    return A.ColorJitter(brightness=gain, contrast=gain, saturation=gain, hue=(-hue, hue), p=probability)
