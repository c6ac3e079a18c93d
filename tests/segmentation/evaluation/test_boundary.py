"""Boundary IoU and surface Dice against independent implementations, and where people get them wrong."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from surface_distance import compute_surface_dice_at_tolerance, compute_surface_distances

from segmentation.evaluation.boundary import TOLERANCES, band_width, boundary_iou, object_width, surface_dice

# surface-distance 0.1 imports from places that scipy has moved.
pytestmark = pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")

Mask = NDArray[np.uint8]
SIZES = [(64, 64), (37, 90), (120, 61), (33, 200)]


def blobs(size: tuple[int, int], seed: int, level: float = 0.5) -> Mask:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random(size), min(size) / 12)
    return (noise > np.quantile(noise, level)).astype(np.uint8)


def pairs() -> list[tuple[Mask, Mask]]:
    found = [(blobs(size, seed), blobs(size, seed + 50)) for size in SIZES for seed in range(5)]
    for size in SIZES:  # nearly right ones, as networks predict them
        target = blobs(size, 7, 0.6)
        found += [(np.roll(target, shift, (0, 1)), target) for shift in (1, 2, 3)]
        found += [(ndimage.binary_dilation(target).astype(np.uint8), target)]
    return found


@pytest.mark.parametrize(("prediction", "target"), pairs())
def test_surface_dice_is_that_of_surface_distance(prediction: Mask, target: Mask) -> None:
    distances = compute_surface_distances(target.astype(bool), prediction.astype(bool), (1.0, 1.0))
    expected = [compute_surface_dice_at_tolerance(distances, tolerance) for tolerance in TOLERANCES]
    assert surface_dice([prediction], target)[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("prediction", "target"), pairs())
def test_boundary_iou_is_that_of_its_definition(prediction: Mask, target: Mask) -> None:
    """Pixel by pixel: in the band is what has a pixel outside of the mask in the square around it."""
    reach, height, width = band_width(target.shape), *target.shape

    def band(mask: Mask) -> set[tuple[int, int]]:
        framed = np.pad(mask, reach)
        return {
            (y, x)
            for y in range(height)
            for x in range(width)
            if mask[y, x] and not framed[y : y + 2 * reach + 1, x : x + 2 * reach + 1].all()
        }

    predicted, true = band(prediction), band(target)
    assert boundary_iou([prediction], target) == [len(predicted & true) / len(predicted | true)]


def test_the_band_is_two_percent_of_the_diagonal() -> None:
    assert [band_width(size) for size in ((375, 500), (128, 128), (20, 20))] == [12, 4, 1]


def test_the_width_of_objects() -> None:
    disc = (np.hypot(*(np.indices((200, 200)) - 100)) <= 40).astype(np.uint8)
    square = np.zeros((100, 100), np.uint8)
    square[20:80, 20:80] = 1
    line = np.zeros((100, 4000), np.uint8)
    line[40:50, 5:-5] = 1
    assert [object_width(mask) for mask in (disc, square, line)] == pytest.approx([80, 60, 15], rel=0.05)
    assert object_width(np.zeros((30, 30), np.uint8)) == 0
    assert object_width(np.ones((60, 60), np.uint8)) == pytest.approx(60, rel=0.05)  # the edge ends it


def test_empty_and_full_masks() -> None:
    empty, full, some = np.zeros((30, 40), np.uint8), np.ones((30, 40), np.uint8), blobs((30, 40), 0)
    for same in (empty, full, some):
        assert boundary_iou([same], same) == [1] and surface_dice([same], same) == [[1, 1]]
    for one, other in ((empty, some), (some, empty), (empty, full)):
        assert boundary_iou([one], other) == [0] and surface_dice([one], other) == [[0, 0]]
    assert 0 < boundary_iou([full], some)[0] < 1  # the edge of the image is a part of the contour
