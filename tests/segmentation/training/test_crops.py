"""Windows to train on, in images of their own scale."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from projects import DEFAULTS
from torch import nn

from segmentation.common import dataset_layout as layout
from segmentation.common.geometry import IGNORED, Fit, Geometry, cut
from segmentation.common.signals import StopRequest
from segmentation.inference.predictor import Predictor, Runner
from segmentation.loading.dataset import SegmentationDataset
from segmentation.loading.transforms import NONE
from segmentation.training.augmentation import Augmentation
from segmentation.training.crops import MOST_CROPS, TrainingCrops
from segmentation.training.loader import Batches
from segmentation.training.loop import Training
from segmentation.training.losses import LOSSES
from segmentation.training.validation import score

SIZE = 32
CHANGES: dict[str, Any] = {"affine": 1.0, "scale": [0.8, 1.2], "shear": 8.0, "flip": 0.5, "color": 0.0}


def dataset(
    folder: Path,
    masks: dict[str, NDArray[Any]],
    fit: Fit = "tiles",
    fill: int = 90,
    scale: float = 1.0,
) -> SegmentationDataset:
    """Images that are white where their masks are 1, and dark elsewhere."""
    for image_id, mask in masks.items():
        image, trimap = layout.image_path(folder, image_id), layout.trimap_path(folder, image_id)
        for path in (image, trimap):
            path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.repeat((20 + 235 * mask)[..., None], 3, axis=2).astype(np.uint8)).save(
            image, "PNG"
        )
        Image.fromarray(np.where(mask, layout.PET, layout.BACKGROUND).astype(np.uint8)).save(trimap)
    geometry = Geometry(SIZE, "area", fit, scale, (fill, fill, fill))
    return SegmentationDataset(folder, list(masks), geometry, ["pet"])


def crops(images: SegmentationDataset, seed: int = 0, **changes: object) -> TrainingCrops:
    nothing = {"affine": 0.0, "flip": 0.0, "color": 0.0}
    settings = DEFAULTS.augment.model_copy(update={**nothing, **changes})
    return TrainingCrops(images, Augmentation(settings, images.geometry), seed)


def blobs(height: int, width: int, side: int = 8) -> NDArray[Any]:
    coarse = np.random.default_rng(height).random((height // side + 1, width // side + 1)) > 0.6
    return np.kron(coarse, np.ones((side, side), int))[:height, :width].astype(np.uint8)


def test_an_epoch_has_about_as_many_pixels_as_the_images(tmp_path: Path) -> None:
    shapes = {"a": (200, 300), "b": (20, 30), "c": (33, 700), "d": (600, 600)}
    images = dataset(tmp_path, {name: np.zeros(shape, np.uint8) for name, shape in shapes.items()})
    windows = crops(images)
    assert windows.crops == [59, 1, 23, MOST_CROPS] and len(windows) == sum(windows.crops)
    halved = crops(dataset(tmp_path, {"a": np.zeros((200, 300), np.uint8)}, scale=0.5))
    assert len(halved) == 15  # a quarter
    for fit in ("stretch", "pad"):
        assert len(crops(dataset(tmp_path, {"d": np.zeros((600, 600), np.uint8)}, fit))) == 1


@pytest.mark.parametrize("fit", ["pad", "tiles"])
def test_a_window_and_its_mask_stay_together(tmp_path: Path, fit: Fit) -> None:
    images = dataset(tmp_path, {"a": blobs(150, 210, 50), "b": blobs(17, 90)}, fit)
    changes: dict[str, Any]
    for changes in ({}, {"flip": 1.0}, CHANGES):
        windows = crops(images, **changes)
        for key in [(1, index) for index in range(len(windows))]:
            image, mask, _ = windows[key]
            assert image.shape == (3, SIZE, SIZE) and mask.shape == (1, SIZE, SIZE)
            seen, covered = image[0] > 137, mask[0] != IGNORED
            agree = (seen == (mask[0] == 1))[covered].float().mean()
            assert agree > 0.9  # edges: the image is smooth, the mask is not
            assert covered.any()


def test_random_changes_bring_in_what_is_really_there(tmp_path: Path) -> None:
    """No black corners, and nothing ignored, where the image goes on beyond the window."""
    mask = np.ones((400, 400), np.uint8)
    windows = crops(dataset(tmp_path, {"a": mask}), **CHANGES, border="black")
    inside = 0
    for index in range(len(windows)):
        image, found, _ = windows[1, index]
        inside += bool((found == 1).all())
        assert (image[:, found[0] == 1] >= 250).float().mean() > 0.98  # what is not image is ignored
    assert inside > 0.5 * len(windows)  # not at the borders of the image


def test_a_third_of_the_windows_hold_foreground(tmp_path: Path) -> None:
    mask = np.zeros((640, 640), np.uint8)
    mask[300:303, 500:503] = 1  # in 1 of 300 windows at random
    windows = crops(dataset(tmp_path, {"a": mask}))
    hold = [bool((windows[epoch, index][1] == 1).any()) for epoch in (1, 2) for index in range(len(windows))]
    assert np.mean(hold) == pytest.approx(1 / 3, abs=0.02)
    forced = [[bool((windows[epoch, index][1] == 1).any()) for index in range(3)] for epoch in (1, 2, 3)]
    assert np.any(forced, axis=0).all()  # not the same ones in each epoch
    places = [np.argwhere(windows[1, index][1][0].numpy() == 1)[0] for index in range(2, 99, 3)]
    assert np.std(places, axis=0).min() > SIZE / 8  # anywhere in the window


def test_windows_depend_on_seed_epoch_and_index_alone(tmp_path: Path) -> None:
    images = dataset(tmp_path, {"a": blobs(150, 210), "b": blobs(64, 90)})
    windows, again, other = crops(images, **CHANGES), crops(images, **CHANGES), crops(images, 1, **CHANGES)
    keys = [(1, index) for index in range(len(windows))]
    first = [windows[key][0] for key in keys]
    for image, key in zip(reversed(first), reversed(keys), strict=True):
        assert torch.equal(again[key][0], image)
    for changed in ([windows[2, index][0] for _, index in keys], [other[key][0] for key in keys]):
        assert not any(torch.equal(one, two) for one, two in zip(first, changed, strict=True))


@pytest.mark.parametrize("fit", ["pad", "tiles"])
def test_the_filling_enters_no_loss_and_no_score(tmp_path: Path, fit: Fit) -> None:
    """Another colour of it changes nothing: the network that is asked looks at single pixels."""
    found = []
    for fill in (0, 255):
        images = dataset(tmp_path, {"a": blobs(20, 50), "b": blobs(31, 9), "c": blobs(32, 32)}, fit, fill)
        runner = Runner(torch.device("cpu"), "float32", NONE)
        model = nn.Conv2d(3, 1, 1)
        torch.manual_seed(0)
        nn.init.normal_(model.weight)
        nn.init.zeros_(model.bias)  # type: ignore[arg-type]
        predictor = Predictor(model, runner, images.geometry, 0.5)
        scores = score(predictor, Batches(images, 1).epoch(), LOSSES["bce_dice"])
        pixels = sum(mask.size for mask in (images.read_mask(index) for index in range(3)))
        assert scores.counts.sum() == scores.bins.sum() == pixels
        settings = DEFAULTS.train.model_copy(
            update={"epochs": 2, "min_steps": 0, "small_first": 0.5, "optimizer": "adamw"}
        )
        training = Training(
            model, Batches(crops(images), 2, 0), Batches(images, 1), settings, runner, StopRequest()
        )
        for _ in range(2):
            training.train_epoch()
            training.validate()
        found.append((scores.counts.tolist(), scores.soft.tolist(), scores.loss, training.history))
    assert found[0] == found[1]


@pytest.mark.parametrize("corner", [(-5, 3), (0, 0), (9, -30), (50, 50), (-100, -100)])
def test_a_cut_reaches_beyond(corner: tuple[int, int]) -> None:
    pixels = np.arange(1, 201, dtype=np.uint8).reshape(10, 20)
    wide = np.pad(pixels, 150)
    top, left = (150 + start for start in corner)
    np.testing.assert_array_equal(cut(pixels, *corner, 12, 8, 0), wide[top : top + 12, left : left + 8])
