"""Normalising, and half the size."""

import numpy as np
import pytest
import torch

from segmentation.common.artifacts import Stats
from segmentation.loading.transforms import choose_normalization, halve, normalize


def test_halve() -> None:
    pixels = torch.tensor([[[[1, 2, 255, 255, 9], [3, 3, 255, 246, 9]]]], dtype=torch.uint8)
    assert halve(pixels).tolist() == [[[[2.25, 252.75]]]]  # the odd column is left out


def test_halved_masks_keep_their_area() -> None:
    mask = torch.from_numpy((np.indices((128, 128)).sum(0) % 7 < 3).astype(np.uint8))[None, None]
    assert halve(mask).mean() == pytest.approx(mask.float().mean().item(), abs=1e-6)


def test_a_constant_channel_is_normalised_to_a_number() -> None:
    normalization = choose_normalization(
        "own", Stats(mean=[0.0, 0.4, 1.0], std=[0.0, 0.2, 0.0], images=1, pixels=1)
    )
    tensors = (torch.tensor(each).view(1, 3, 1, 1) for each in normalization)
    assert normalize(torch.zeros(1, 3, 2, 2, dtype=torch.uint8), *tensors).isfinite().all()
