"""The resize inside of exported networks is OpenCV's."""

import cv2
import numpy as np
import pytest
import torch

from segmentation.export.graph import resize, to_network
from segmentation.geometry import Geometry

SIZES = [
    (375, 500),
    (500, 375),
    (93, 157),
    (333, 251),
    (128, 128),
    (512, 512),
    (40, 50),
    (1, 1),
    (3, 700),
    (1200, 900),
]


@pytest.mark.parametrize("size", [32, 96, 128, 256])
@pytest.mark.parametrize("shape", SIZES)
def test_it_is_that_of_opencv(shape: tuple[int, int], size: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, *shape, 3), dtype=np.uint8)
    expected = [cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR) for image in images]
    found = resize(torch.from_numpy(images), size).numpy()
    # Other processors may round the last bit in another way.
    assert np.abs(found - np.stack(expected)).max() <= 1 and (found == np.stack(expected)).mean() > 0.9999


@pytest.mark.parametrize("size", [32, 96, 128])
@pytest.mark.parametrize("shape", SIZES)
def test_area_is_that_of_geometry(shape: tuple[int, int], size: int) -> None:
    geometry = Geometry(size, "area")
    images = np.random.default_rng(0).integers(0, 256, (2, *shape, 3), dtype=np.uint8)
    expected = np.stack([geometry.to_network(image) for image in images])
    found = to_network(torch.from_numpy(images), geometry).numpy()
    # OpenCV rounds halves up where the factor is whole, and to even elsewhere.
    assert np.abs(found - expected).max() <= 1 and (found == expected).mean() > 0.95
