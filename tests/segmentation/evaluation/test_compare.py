from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from projects import DEFAULTS, unchanged_crops

from segmentation.common.dataset_layout import TEST, TRAINVAL, read_list
from segmentation.common.geometry import Geometry
from segmentation.common.signals import StopRequest
from segmentation.evaluation.compare import SHORT, compare
from segmentation.evaluation.prediction_scores import CountsBySize, ImageFacts, NetworkScores, Scored
from segmentation.inference.predictor import Predictor, Runner
from segmentation.loading.dataset import SegmentationDataset
from segmentation.loading.transforms import Normalization
from segmentation.models.build import build_model, network_names
from segmentation.scoring import scores
from segmentation.training.loader import Batches
from segmentation.training.loop import Training
from segmentation.training.losses import LOSSES
from segmentation.training.validation import score

FOREGROUND = ["pet", "border"]


def counted(counts: list[list[int]], own: list[list[int]] | None = None) -> CountsBySize:
    """These counts at network size, and others, or the same, at own size."""
    return {"network": np.array(counts), "original": np.array(own or counts)}


def compared(
    networks: dict[str, CountsBySize],
    trivial: CountsBySize,
    resolution: str = "network",
    twin: "np.ndarray[tuple[int], np.dtype[np.bool_]] | None" = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    count = len(trivial["network"])
    found = {
        name: NetworkScores.zeros(count)._replace(counts=counts, no_border=counts)
        for name, counts in networks.items()
    }
    scored = Scored(found, {"trivial": trivial}, ImageFacts(*np.zeros((6, count))))
    return compare(scored, resolution, np.zeros(count, np.bool_) if twin is None else twin, 1000)


def test_the_difference_is_paired() -> None:
    rng = np.random.default_rng(0)
    hard = rng.integers(10, 900, 200)  # the images differ widely, the networks by little
    networks = {
        "worse": counted([[tp, 50, 40, 10] for tp in hard]),
        "better": counted([[tp + 10, 50, 30, 10] for tp in hard]),
    }
    test, details = compared(networks, counted([[1, 50, 40, 10] for _ in hard]))
    gap = test["difference"]["better"]
    assert 0 < gap["low"] < gap["dice"] < gap["high"]
    assert gap["dice"] == pytest.approx(test["better"]["dice"] - test["worse"]["dice"])
    assert gap["high"] - gap["low"] < 0.5 * (test["better"]["dice_high"] - test["better"]["dice_low"])
    assert details["wins"] == {"better": {"better": 1.0, "worse": 0.0}}
    assert details["gain"]["worse"]["baseline"] == "trivial" and details["gain"]["worse"]["low"] > 0


def test_what_people_compare_fits_on_a_screen() -> None:
    networks = {
        name: counted([[tp, 1, 1, 9], [tp, 0, 3, 9]])
        for tp, name in enumerate(("first", "second", "third"), 1)
    }
    test, details = compared(networks, networks["first"], "original")
    assert list(test) == ["first", "second", "third", "difference"]
    assert list(test["difference"]) == ["second", "third"]
    assert set(test["first"]) == {*SHORT, "dice_soft"}
    assert list(details["baselines"]) == ["trivial"]
    assert details["network"]["first"]["dice_pooled_low"] <= details["network"]["first"]["dice_pooled"]
    assert details["gain"]["first"]["low"] == details["gain"]["first"]["high"] == 0  # the same answer


def test_the_resolution_decides_what_is_compared() -> None:
    network = counted([[1, 1, 0, 2]], [[90, 0, 10, 100]])
    for resolution, expected in (("network", 2 / 3), ("original", 180 / 190)):
        test, details = compared({"a": network}, network, resolution)
        assert test["a"]["dice"] == details["baselines"]["trivial"]["dice"] == pytest.approx(expected)
        assert details["network"]["a"]["dice"] == pytest.approx(2 / 3)
        assert details["original"]["a"]["dice"] == pytest.approx(180 / 190)


def test_scores_are_pooled_and_averaged() -> None:
    found = counted([[1, 0, 0, 9], [0, 9, 1, 0], [0, 0, 0, 10]])
    row = compared({"a": found}, found)[1]["network"]["a"]
    assert row["dice"] == pytest.approx(2 / 3) and row["dice_pooled"] == pytest.approx(2 / 12)
    assert row["iou_pooled"] == pytest.approx(1 / 11)
    assert row["precision"] == pytest.approx(1 / 10) and row["recall"] == pytest.approx(1 / 2)


def test_scores_without_twins() -> None:
    found = counted([[1, 0, 0, 9], [0, 9, 1, 0], [1, 1, 0, 8]])
    _, details = compared({"a": found}, found, twin=np.array([True, False, False]))
    assert details["no_twins"]["images"] == 2
    assert details["no_twins"]["a"]["dice"] == pytest.approx((0 + 2 / 3) / 2)
    assert "no_twins" not in compared({"a": found}, found, twin=np.ones(3, np.bool_))[1]


def test_counts_of_a_whole_test_set_do_not_overflow() -> None:
    masks = torch.ones(2, 4096, 4096, dtype=torch.bool)
    counts = scores.confusion_counts(masks, masks).numpy()
    assert scores.dice(np.repeat(counts, 2000, axis=0).sum(axis=0)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", network_names())
def test_bfloat16_scores_as_float32_does(sample: Path, name: str) -> None:
    ids = read_list(sample / TRAINVAL)
    train, test = (
        SegmentationDataset(sample, part, Geometry(64), FOREGROUND)
        for part in (ids[:150], read_list(sample / TEST))
    )
    normalization = Normalization([0.5] * 3, [0.25] * 3)
    exact, fast = (Runner(torch.device("cpu"), each, normalization) for each in ("float32", "bf16"))
    model = build_model(name, width=8).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    settings = DEFAULTS.train.model_copy(update={"epochs": 5})
    training = Training(
        model, Batches(unchanged_crops(train), 8, 0), Batches(test, 8), settings, exact, StopRequest()
    )
    for _ in range(5):
        training.train_epoch()
        training.validate()
    rows = []
    for runner in (exact, fast):
        found = score(
            Predictor(model, runner, Geometry(64), 0.5), Batches(test, 8).epoch(0), LOSSES["bce_dice"]
        )
        pooled = found.counts.sum(axis=0)
        rows.append([scores.dice(found.counts).mean(), scores.iou(found.counts).mean(), scores.dice(pooled),
                     scores.iou(pooled), scores.mean_soft_dice(found.soft)])  # fmt: skip
    assert rows[0][0] > 0.6
    np.testing.assert_allclose(rows[1], rows[0], atol=1e-3)
