"""What is counted for each image, against plain numpy and independent implementations."""

from pathlib import Path

import numpy as np
import pytest
import torch
from test_evaluated_checkpoints import metadata
from torchmetrics.functional.classification import binary_calibration_error, binary_f1_score

from segmentation.common.dataset_layout import TEST, image_path, read_list
from segmentation.common.errors import InputError
from segmentation.common.geometry import Geometry
from segmentation.evaluation.calibration import calibration_error, reliability, table, threshold_curves
from segmentation.evaluation.failures import false_pixels
from segmentation.evaluation.prediction_scores import (
    LabelledImage,
    Prediction,
    Scored,
    read_test_image,
    score_predictions,
)
from segmentation.inference.predictor import Predictor
from segmentation.loading.dataset import SegmentationDataset
from segmentation.models.build import build_model
from segmentation.models.checkpoints import Checkpoint
from segmentation.scoring import scores

FOREGROUND = ["pet", "border"]
COUNT = 11  # a batch and a part of one


def predictor(name: str, threshold: float) -> Predictor:
    torch.manual_seed(3)
    model = build_model(name, 4)
    return Predictor.from_checkpoint(Checkpoint(model, metadata(name, width=4, threshold=threshold)))


@pytest.fixture(scope="module")
def predictors() -> dict[str, Predictor]:
    return {"unet": predictor("unet", 0.47), "resnet": predictor("resnet", 0.5)}


@pytest.fixture(scope="module")
def ids(sample: Path) -> list[str]:
    return read_list(sample / TEST)[:COUNT]


@pytest.fixture(scope="module")
def scored(sample: Path, ids: list[str], predictors: dict[str, Predictor]) -> Scored:
    everything = {"everything": Prediction(np.ones((64, 64), np.float32))}
    return score_predictions(sample, ids, FOREGROUND, predictors, everything)


@pytest.fixture(scope="module")
def images(sample: Path, ids: list[str]) -> list[LabelledImage]:
    return [read_test_image(sample, image_id, FOREGROUND) for image_id in ids]


@pytest.mark.parametrize("name", ["unet", "resnet"])
def test_masks_are_those_that_a_user_gets(
    name: str, images: list[LabelledImage], predictors: dict[str, Predictor], scored: Scored
) -> None:
    found, predictor = scored.networks[name], predictors[name]
    counts, no_border = found.counts["original"], found.no_border["original"]
    for i, (image, target, border) in enumerate(images):
        mask, inside = predictor.mask(image), border == 0
        expected = binary_f1_score(torch.from_numpy(mask), torch.from_numpy(target)).item()
        assert float(scores.dice(counts[i])) == pytest.approx(expected, abs=1e-6)
        assert found.false_pixels[i].tolist() == false_pixels([mask], target)[0].tolist()
        assert found.false_pixels[i].sum() == counts[i, 1:3].sum()
        assert no_border[i, 0] == int((mask[inside] & target[inside]).sum())
        assert no_border[i].sum() == inside.sum()


@pytest.mark.parametrize("name", ["unet", "resnet"])
def test_at_network_size_it_is_what_validation_counts(
    name: str, sample: Path, images: list[LabelledImage], predictors: dict[str, Predictor], scored: Scored
) -> None:
    test = SegmentationDataset(sample, read_list(sample / TEST)[:COUNT], Geometry(64), FOREGROUND)
    network, predictor = scored.networks[name], predictors[name]
    seen = [predictor.geometry.to_network(image.image) for image in images]
    probabilities = np.stack(predictor.network_probabilities(seen))
    targets = np.stack([test.read_mask(i) for i in range(COUNT)])
    counts = network.counts["network"]
    assert (counts[:, 0] == ((probabilities >= predictor.threshold) & targets).sum((1, 2))).all()
    assert network.bins.sum() == targets.size and network.bins[:, 1].sum() == targets.sum()
    np.testing.assert_allclose(network.soft[:, 0], (probabilities * targets).sum((1, 2)), rtol=1e-5)
    expected = binary_calibration_error(
        torch.from_numpy(probabilities).flatten(), torch.from_numpy(targets).flatten(), n_bins=10
    )
    assert calibration_error(network) == pytest.approx(expected.item(), abs=1e-5)
    found = reliability(network)
    assert found["pixels"].sum() == targets.size
    assert len(table(found).splitlines()) == 1 + (found["pixels"] > 0).sum()
    curves = threshold_curves(network)
    (place,) = np.flatnonzero(np.isclose(curves["threshold"], predictor.threshold))
    assert curves["dice"][place] == pytest.approx(float(scores.dice(counts).mean()))


def test_facts(images: list[LabelledImage], scored: Scored) -> None:
    facts, (image, target, _) = scored.facts, images[4]
    assert (facts.height[4], facts.width[4]) == target.shape == image.shape[:2]
    assert facts.foreground_share[4] == pytest.approx(target.mean())
    grey = image @ [0.299, 0.587, 0.114] / 255  # ITU-R BT.601
    assert facts.brightness[4] == pytest.approx(grey.mean(), abs=2e-3)
    assert facts.contrast[4] == pytest.approx(grey.std(), abs=2e-3)
    assert facts.agreement.min() >= 0 and facts.agreement.max() <= 1


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_networks_that_answer_nothing_or_everything_do_not_agree(
    sample: Path,
    ids: list[str],
    predictors: dict[str, Predictor],
    level: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = lambda _, images: [np.full((64, 64), level, np.float32) for _ in images]  # noqa: E731
    monkeypatch.setattr(Predictor, "network_probabilities", answer)
    scored = score_predictions(sample, ids, FOREGROUND, predictors, {})
    assert (scored.facts.agreement == 0).all()


def test_the_same_answer_for_all_images(images: list[LabelledImage], scored: Scored) -> None:
    everything = scored.baselines["everything"]["original"]
    assert everything[:, 0].tolist() == [int(each.target.sum()) for each in images]
    assert everything.sum(axis=1).tolist() == [each.target.size for each in images]
    assert (everything[:, 2:] == 0).all()


def test_an_image_that_vanished(sample: Path, predictors: dict[str, Predictor]) -> None:
    with pytest.raises(InputError, match=r"gone\.png: no such file") as caught:
        score_predictions(sample, ["gone"], FOREGROUND, predictors, {})
    assert str(image_path(sample, "gone").parent.parent) in str(caught.value)
