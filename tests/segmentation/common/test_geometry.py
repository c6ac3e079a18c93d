"""Where the pixels of an image and of its mask go when they are resized."""

from typing import get_args

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from segmentation.common.geometry import Geometry, Resize

RESIZES: tuple[Resize, ...] = get_args(Resize)
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
@pytest.mark.parametrize("resize", RESIZES)
def test_a_mask_goes_where_its_image_goes(height: int, width: int, size: int, resize: Resize) -> None:
    geometry = Geometry(size, resize)
    for seed in range(12):
        mask = shapes(height, width, seed)
        resized = geometry.mask_to_network(mask)
        mirrored = geometry.mask_to_network(np.ascontiguousarray(mask[:, ::-1]))[:, ::-1]
        as_image = geometry.to_network(np.repeat(mask[..., None] * np.uint8(255), 3, axis=2))[..., 0] >= 127.5
        assert overlap(resized, mirrored) > 0.999
        assert overlap(resized, as_image.astype(np.uint8)) > 0.99
        assert resized.mean() == pytest.approx(mask.mean(), rel=0.02)


@pytest.mark.parametrize("resize", RESIZES)
def test_a_mask_of_its_own_size_stays(resize: Resize) -> None:
    mask = shapes(128, 128, 0)
    assert (Geometry(128, resize).mask_to_network(mask) == mask).all()


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("place", [(3, 5), (150, 203), (299, 399)])
def test_small_foreground_keeps_the_pixel_that_it_covers_most(place: tuple[int, int], resize: Resize) -> None:
    geometry, mask = Geometry(32, resize), np.zeros((300, 400), np.uint8)
    assert not geometry.mask_to_network(mask).any()  # what is empty stays empty
    cv2.circle(mask, place[::-1], 3, 1, -1)
    rows, columns = np.nonzero(geometry.mask_to_network(mask))
    assert (rows.tolist(), columns.tolist()) == ([place[0] * 32 // 300], [place[1] * 32 // 400])


def test_area_keeps_no_noise_of_single_pixels() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2000, 3840, 3), dtype=np.uint8)
    kept = {resize: float(Geometry(128, resize).to_network(noise).std()) for resize in RESIZES}
    # The mean of 30 x 15.6 independent pixels, whose deviation is 73.9; and of four.
    assert kept["area"] == pytest.approx(73.9 / (30 * 15.6) ** 0.5, abs=0.4) and kept["linear"] > 30


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (300, 20_000), (40, 400)])
def test_area_is_linear_where_an_image_grows(shape: tuple[int, int]) -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, shape[1]).astype(np.uint8)[None, :, None], (*shape, 3)).copy()
    area, linear = (Geometry(64, resize).to_network(ramp).astype(int) for resize in RESIZES[::-1])
    assert np.abs(area - linear).max() <= 4 and area.shape == (64, 64, 3)
    turned = Geometry(64, "area").to_network(np.ascontiguousarray(ramp.swapaxes(0, 1)))
    assert np.abs(turned.swapaxes(0, 1).astype(int) - area).max() <= 1


@pytest.mark.parametrize("width", [44, 88, 100, 132])
def test_a_pixel_that_is_half_covered_is_foreground(width: int) -> None:
    """Sums of shares in float32 may fall a little short of a half."""
    mask = np.zeros((width, width), np.uint8)
    mask[:, : width // 4] = 1  # half of the first of two pixels
    assert Geometry(2, "area").mask_to_network(mask).tolist() == [[1, 0], [1, 0]]
