"""Where the pixels of an image and of its mask go when they are resized."""

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from segmentation.common.artifacts import Stats
from segmentation.loading.transforms import (
    choose_normalization,
    halve,
    normalize,
    resize_image,
    resize_mask,
)

SIZES = [(500, 375), (375, 500), (512, 512), (256, 256), (333, 250), (129, 92), (64, 64), (100, 60)]


def shapes(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """A smooth shape: some overlapping ellipses."""
    rng, mask = np.random.default_rng(seed), np.zeros((height, width), np.uint8)
    for _ in range(3):
        centre = [int(each) for each in rng.uniform(0.25, 0.75, 2) * (width, height)]
        axes = [int(each) for each in rng.uniform(0.1, 0.25, 2) * (width, height)]
        cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    return mask


def overlap(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("size", [128, 96, 127])
def test_a_mask_goes_where_its_image_goes(height: int, width: int, size: int) -> None:
    for seed in range(12):
        mask = shapes(height, width, seed)
        resized = resize_mask(mask, size)
        mirrored = resize_mask(np.ascontiguousarray(mask[:, ::-1]), size)[:, ::-1]
        as_image = resize_image(np.repeat(mask[..., None] * np.uint8(255), 3, axis=2), size)[..., 0] >= 127.5
        assert overlap(resized, mirrored) > 0.999
        assert overlap(resized, as_image.astype(np.uint8)) > 0.99
        assert resized.mean() == pytest.approx(mask.mean(), rel=0.02)


def test_a_mask_of_its_own_size_stays() -> None:
    mask = shapes(128, 128, 0)
    assert (resize_mask(mask, 128) == mask).all()


def test_halve() -> None:
    pixels = torch.tensor([[[[1, 2, 255, 255, 9], [3, 3, 255, 246, 9]]]], dtype=torch.uint8)
    assert halve(pixels).tolist() == [[[[2.25, 252.75]]]]  # the odd column is left out


def test_halved_masks_keep_their_area() -> None:
    mask = torch.from_numpy(shapes(128, 128, 1))[None, None]
    assert halve(mask).mean() == pytest.approx(mask.float().mean().item(), abs=1e-6)


def test_a_constant_channel_is_normalised_to_a_number() -> None:
    normalization = choose_normalization(
        "own", Stats(mean=[0.0, 0.4, 1.0], std=[0.0, 0.2, 0.0], images=1, pixels=1)
    )
    tensors = (torch.tensor(each).view(1, 3, 1, 1) for each in normalization)
    assert normalize(torch.zeros(1, 3, 2, 2, dtype=torch.uint8), *tensors).isfinite().all()
