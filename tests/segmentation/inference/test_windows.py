"""Windows that slide over an image: no seams, no gaps, nothing but the network's own answers."""

from itertools import pairwise
from typing import Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from segmentation.common.geometry import Fit, Geometry, Image
from segmentation.inference.predictor import Predictor, Runner
from segmentation.inference.windows import window_starts
from segmentation.loading.transforms import NONE

CPU = torch.device("cpu")


class Local(nn.Module):
    """A network that is translation-equivariant: each logit depends on 3x3 pixels, repeated at the edges."""

    def forward(self, x: Tensor) -> Tensor:
        return 8 * F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)[:, :1] - 4


class Red(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 8 * x[:, :1] - 4


class Lopsided(nn.Module):
    """Neither a mirrored image nor a shifted one gives the same logits."""

    def forward(self, x: Tensor) -> Tensor:
        return 8 * x[:, :1] - 4 + torch.linspace(-2, 2, x.shape[-1])


class Constant(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.full_like(x[:, :1], 0.3)


def predictor(
    model: nn.Module,
    size: int = 64,
    fit: Fit = "tiles",
    scale: float = 1.0,
    tta: Literal["none", "flip"] = "none",
) -> Predictor:
    return Predictor(model, Runner(CPU, "float32", NONE), Geometry(size, "area", fit, scale), 0.5, tta)


def noise(height: int, width: int) -> Image:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@given(st.integers(1, 5000), st.integers(8, 600))
def test_windows_cover_all_and_overlap_by_half(length: int, size: int) -> None:
    length = max(length, size)
    starts = window_starts(length, size)
    assert starts[0] == 0 and starts[-1] == length - size
    assert all(0 < after - before <= size // 2 for before, after in pairwise(starts))
    assert [length - size - start for start in reversed(starts)] == starts  # a mirrored image has the same


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (64, 64), (65, 63), (200, 131), (999, 70)])
def test_a_constant_network_leaves_no_seam(shape: tuple[int, int]) -> None:
    (found,) = predictor(Constant()).probabilities([noise(*shape)])
    assert found.shape == shape
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-0.3)), rtol=1e-6)


@pytest.mark.parametrize("shape", [(64, 64), (65, 63), (200, 131), (30, 300)])
def test_tiles_give_what_the_whole_gives(shape: tuple[int, int]) -> None:
    image = noise(*shape)
    for model, tolerance in ((Red(), 1e-6), (Local(), 2e-3)):  # at its edges, a window repeats other pixels
        (found,) = predictor(model).probabilities([image])
        with torch.inference_mode():
            logits = model(torch.from_numpy(image / np.float32(255)).permute(2, 0, 1)[None])
        inner = np.s_[2:-2, 2:-2]
        np.testing.assert_allclose(found[inner], torch.sigmoid(logits)[0, 0].numpy()[inner], atol=tolerance)


@pytest.mark.parametrize("fit", ["stretch", "pad", "tiles"])
def test_a_mirrored_image_gives_the_mirrored_mask(fit: Fit) -> None:
    image = noise(150, 212)
    for model, tta in ((Red(), "none"), (Lopsided(), "flip")):
        here = predictor(model, fit=fit, tta=tta)  # type: ignore[arg-type]
        (mask,), (mirrored,) = here.masks([image]), here.masks([np.ascontiguousarray(image[:, ::-1])])
        assert (mirrored[:, ::-1] == mask).mean() > 0.999  # resized images are rounded
        assert 0.1 < mask.mean() < 0.9


def test_an_image_keeps_its_shape_in_pad_and_its_scale_in_tiles() -> None:
    shapes: dict[Fit, dict[tuple[int, int], tuple[int, int]]] = {
        "stretch": {(300, 200): (64, 64), (5, 5000): (64, 64)},
        "pad": {(300, 200): (64, 43), (200, 300): (43, 64), (1, 5000): (1, 64), (16, 32): (32, 64)},
        "tiles": {(300, 200): (150, 100), (1, 5000): (1, 2500), (3, 3): (2, 2)},
    }
    for fit, expected in shapes.items():
        here = predictor(Red(), fit=fit, scale=0.5 if fit == "tiles" else 1.0)
        for (height, width), seen in expected.items():
            image = noise(height, width)
            assert here.geometry.to_network(image).shape[:2] == seen
            assert here.probabilities([image])[0].shape == (height, width)


@pytest.mark.parametrize("fit", ["pad", "tiles"])
def test_images_together_give_what_single_ones_give(fit: Fit) -> None:
    given_images = [noise(*shape) for shape in [(80, 60), (20, 30), (64, 64), (200, 90)]]
    together = predictor(Local(), fit=fit).probabilities(given_images)
    for image, found in zip(given_images, together, strict=True):
        np.testing.assert_allclose(predictor(Local(), fit=fit).probabilities([image])[0], found, atol=1e-6)


@pytest.mark.slow
def test_a_long_strip() -> None:
    assert predictor(Red(), 256).masks([noise(20_000, 300)])[0].shape == (20_000, 300)
