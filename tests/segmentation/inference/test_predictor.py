"""One way from an image to its mask, whatever its size."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segmentation.common.artifacts import Stats
from segmentation.common.geometry import Geometry, Image
from segmentation.inference.predictor import Predictor, Runner
from segmentation.loading.transforms import IMAGENET, choose_normalization
from segmentation.models.build import build_model, network_names
from segmentation.models.checkpoints import load_checkpoint

CPU = torch.device("cpu")
FIXTURES = Path(__file__).parents[2] / "fixtures"


def images(*sizes: tuple[int, int]) -> list[Image]:
    """Smooth images of these heights and widths."""
    rng = np.random.default_rng(0)
    coarse = [rng.random((5, 5, 3)) for _ in sizes]
    stretched = [
        np.stack([Geometry(5).to_image(each[..., c].astype(np.float32), *size) for c in range(3)], axis=-1)
        for each, size in zip(coarse, sizes, strict=True)
    ]
    return [(255 * each).astype(np.uint8) for each in stretched]


class Brightness(nn.Module):
    """A network that can be predicted: the logit of a pixel grows with its red value."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1]


def brightness(size: int = 64, threshold: float = 0.5) -> Predictor:
    return Predictor(Brightness(), Runner(CPU, "float32", IMAGENET), Geometry(size), threshold)


def network(name: str, size: int = 64) -> Predictor:
    torch.manual_seed(0)
    return Predictor(build_model(name, width=4), Runner(CPU, "float32", IMAGENET), Geometry(size), 0.5)


@pytest.mark.parametrize("name", network_names())
def test_probabilities_at_network_size_are_those_of_the_logits(name: str) -> None:
    predictor, (image,) = network(name), images((64, 64))
    logits = predictor.logits(torch.from_numpy(image.transpose(2, 0, 1).copy())[None])
    assert logits.shape == (1, 1, 64, 64) and logits.dtype == torch.float32
    (found,) = predictor.probabilities([image])
    np.testing.assert_array_equal(found, torch.sigmoid(logits)[0, 0].numpy())


def test_validation_and_training_see_the_same_logits() -> None:
    predictor, (image,) = network("unet"), images((64, 64))
    batch = torch.from_numpy(image.transpose(2, 0, 1).copy())[None]
    with torch.inference_mode():
        expected = predictor.runner.logits(predictor.model.eval(), batch)
    predictor.model.train()  # as within an epoch: dropout and batch statistics must not count
    assert torch.equal(predictor.logits(batch), expected)


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_images_of_any_size_keep_it(batch_size: int) -> None:
    sizes = [(100, 75), (33, 200), (64, 64), (1, 1), (7, 500)]
    predictor, given = network("unet"), images(*sizes)
    found = predictor.probabilities(given, batch_size=batch_size)
    assert [each.shape for each in found] == sizes
    assert all(each.dtype == np.float32 and 0 <= each.min() <= each.max() <= 1 for each in found)
    masks = predictor.masks(given, batch_size=batch_size)
    for mask, probabilities in zip(masks, found, strict=True):
        np.testing.assert_array_equal(mask, probabilities >= 0.5)


def test_a_batch_gives_what_single_images_give() -> None:
    predictor, given = network("unet"), images((80, 60), (60, 80), (64, 64))
    together = predictor.probabilities(given, batch_size=3)
    for one, image in zip(together, given, strict=True):
        np.testing.assert_allclose(predictor.probabilities([image])[0], one, atol=1e-6)


def test_the_mask_lies_where_the_image_shows_it() -> None:
    """The image's own size, and back: pixel centres stay in place, so no edge moves by half a pixel."""
    (image,) = images((300, 400))
    red = image[..., 0] / 255
    (found,) = brightness().probabilities([image])
    logits = np.log(found / (1 - found)) * IMAGENET.std[0] + IMAGENET.mean[0]
    inner = np.s_[5:-5, 5:-5]

    def error(down: int, right: int) -> float:
        return float(np.abs(np.roll(logits, (down, right), (0, 1)) - red)[inner].mean())

    assert error(0, 0) < 0.003  # a pixel of the network is 5 by 6 of the image's
    assert error(0, 0) < min(error(-1, 0), error(1, 0), error(0, -1), error(0, 1))


@pytest.mark.parametrize("size", [(300, 400), (333, 251), (64, 64), (40, 50)])
def test_a_mirrored_image_gives_the_mirrored_probabilities(size: tuple[int, int]) -> None:
    (image,) = images(size)
    (found,) = brightness().probabilities([image])
    (mirrored,) = brightness().probabilities([np.ascontiguousarray(image[:, ::-1])])
    np.testing.assert_allclose(mirrored[:, ::-1], found, atol=2e-2)  # rounding of the resized uint8 image
    assert np.abs(mirrored[:, ::-1] - found).mean() < 1e-3


def test_probabilities_are_resized_before_the_threshold() -> None:
    """So an edge has no steps of the size of a network pixel."""
    row, column = np.mgrid[:512, :512]
    edge = 255 * (column + row / 4 > 256).astype(np.uint8)  # moves by a pixel every four rows
    (mask,) = brightness(32).masks([np.repeat(edge[..., None], 3, axis=2)])
    positions = mask[200:264].argmax(axis=1)
    assert len(set(positions)) > 10  # in steps of a network pixel, which is 16 wide, there would be two


def test_the_threshold_is_the_predictors() -> None:
    (image,) = images((64, 64))
    areas = [brightness(threshold=each).masks([image])[0].mean() for each in (0.1, 0.5, 0.9)]
    assert areas[0] > areas[1] > areas[2]
    (probabilities,) = brightness().probabilities([image])
    exact = float(probabilities[0, 0])
    assert brightness(threshold=exact).masks([image])[0][0, 0] == 1  # at least the threshold is foreground


def test_a_checkpoint_predicts_at_once() -> None:
    predictor = Predictor.from_checkpoint(load_checkpoint(FIXTURES / "unet_format_1.pt"), CPU)
    (mask,) = predictor.masks(images((45, 31)))
    assert mask.shape == (45, 31) and mask.dtype == np.uint8 and set(np.unique(mask)) <= {0, 1}


def test_images_are_resized_as_in_training() -> None:
    predictor, (image,) = network("unet"), images((100, 75))
    (seen,) = predictor.network_probabilities([Geometry(64).to_network(image)])
    expected = Geometry(64).to_image(seen, 100, 75)
    np.testing.assert_array_equal(predictor.probabilities([image])[0], expected)


def test_the_normalisation_is_chosen_by_name() -> None:
    own = Stats(mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6], images=1, pixels=1)
    assert choose_normalization("own", own).mean == [0.1, 0.2, 0.3]
    assert choose_normalization("lab_report", own).std == [0.269, 0.265, 0.273]
    assert choose_normalization("imagenet", own) is IMAGENET
    assert choose_normalization("none", own) == ([0.0] * 3, [1.0] * 3)
