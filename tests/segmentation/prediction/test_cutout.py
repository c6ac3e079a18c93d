"""The colours of cut-outs, on photos composed from a known foreground."""

import numpy as np
import pytest
from numpy.typing import NDArray

from segmentation.prediction.cutout import cut_out

FOREGROUND = np.array([200.0, 120.0, 60.0])


def blob(height: int, width: int, softness: float) -> NDArray[np.uint8]:
    """The alpha of a round figure whose edge falls off over some ten times `softness` pixels."""
    y, x = np.mgrid[:height, :width]
    angle = np.arctan2(y - height / 2, x - width / 2)
    outside = np.hypot(x - width / 2, y - height / 2) - 0.3 * height * (1 + 0.15 * np.sin(5 * angle))
    alpha = 1 / (1 + np.exp(outside / softness))
    return np.rint(255 * np.where(alpha > 0.995, 1, np.where(alpha < 0.005, 0, alpha))).astype(np.uint8)


def photo(alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The foreground on a smooth background of other colours."""
    y, x = (axis / alpha.shape[1] for axis in np.mgrid[: alpha.shape[0], : alpha.shape[1]])
    colors = [65 + 20 * np.sin(8 * x), 135 + 15 * np.cos(10 * y), 185 + 10 * np.sin(7 * (x + y))]
    share = alpha[..., None] / 255
    return np.rint(share * FOREGROUND + (1 - share) * np.stack(colors, -1)).astype(np.uint8)


@pytest.mark.parametrize(("height", "width", "softness"), [(375, 500, 1.5), (375, 500, 3), (1500, 2000, 12)])
def test_the_edge_is_freed_of_the_background(height: int, width: int, softness: float) -> None:
    alpha = blob(height, width, softness)
    image = photo(alpha)
    result = cut_out(image, alpha)
    np.testing.assert_array_equal(result[..., 3], alpha)
    edge, opaque = (alpha > 0) & (alpha < 255), alpha == 255
    errors = [np.abs(colors[edge] - FOREGROUND).mean() for colors in (result[..., :3], image)]
    assert errors[1] > 30 and errors[0] < 0.1 * errors[1]
    np.testing.assert_array_equal(result[opaque][:, :3], image[opaque])


def test_the_edge_of_photos_of_any_texture_gets_no_worse() -> None:
    rng = np.random.default_rng(0)
    alpha = blob(375, 500, 3)
    share = alpha[..., None] / 255
    layers = [np.kron(rng.integers(0, 256, (25, 25, 3)), np.ones((15, 20, 1))) for _ in range(2)]
    image = np.rint(share * layers[0] + (1 - share) * layers[1]).astype(np.uint8)
    edge = (alpha > 0) & (alpha < 255)
    errors = [
        np.abs(colors[edge] - layers[0][edge]).mean() for colors in (cut_out(image, alpha)[..., :3], image)
    ]
    assert errors[0] < 0.9 * errors[1]


def test_no_seams_and_no_shift() -> None:
    """A flipped photo, cut in strips at other rows, gives the flipped cut-out."""
    alpha = np.ascontiguousarray(np.roll(blob(601, 430, 4), (31, -17), (0, 1)))
    image = photo(alpha)
    result = cut_out(image, alpha).astype(int)
    for axes in ((0,), (1,), (0, 1)):
        flipped = cut_out(np.flip(image, axes).copy(), np.flip(alpha, axes).copy())
        difference = np.abs(np.flip(flipped, axes) - result)[alpha > 0]
        assert difference.max() <= 1  # rounding


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (30, 20)])
def test_any_size_and_one_alpha(size: tuple[int, int], value: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    result = cut_out(image, np.full(size, value, np.uint8))
    assert result.shape == (*size, 4) and (result[..., 3] == value).all()
    if value == 255:
        np.testing.assert_array_equal(result[..., :3], image)
