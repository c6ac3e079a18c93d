from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import DEFAULTS

from segmentation.common.dataset_layout import TEST, TRAINVAL, read_list
from segmentation.common.signals import StopRequest
from segmentation.evaluation.compare import compare, difference, summarize
from segmentation.inference.dataset_pass import ImageScores, score
from segmentation.inference.predictor import Predictor
from segmentation.inference.runner import Runner
from segmentation.loading.dataset import SegmentationDataset
from segmentation.loading.loader import Batches
from segmentation.loading.transforms import Normalization
from segmentation.models.build import build_model, network_names
from segmentation.scoring import scores
from segmentation.training.loop import Training

FOREGROUND = ["pet", "border"]


def scored(counts: list[list[int]]) -> ImageScores:
    return ImageScores(np.array(counts), np.ones((len(counts), 3)), 0.0)


def test_the_difference_is_paired() -> None:
    rng = np.random.default_rng(0)
    hard = rng.integers(10, 900, 200)  # the images differ widely, the networks by little
    worse = scored([[tp, 50, 40, 10] for tp in hard])
    better = scored([[tp + 10, 50, 30, 10] for tp in hard])
    gap = difference(better, worse, 1000)
    rows = summarize({"worse": worse, "better": better}, 1000)
    assert 0 < gap["low"] < gap["dice"] < gap["high"]
    assert gap["dice"] == pytest.approx(rows["better"]["dice"] - rows["worse"]["dice"])
    assert gap["high"] - gap["low"] < 0.5 * (rows["better"]["dice_high"] - rows["better"]["dice_low"])


def test_each_network_is_compared_with_the_first() -> None:
    first, second, third = (scored([[tp, 1, 1, 9], [tp, 0, 3, 9]]) for tp in (1, 2, 3))
    found = compare({"first": first, "second": second, "third": third}, {"constant": first}, 100)
    assert list(found) == ["first", "second", "third", "difference", "baselines"]
    assert list(found["baselines"]) == ["constant"] and list(found["difference"]) == ["second", "third"]
    for name, each in (("second", second), ("third", third)):
        assert found["difference"][name] == difference(each, first, 100)


def test_a_summary_pools_and_averages() -> None:
    row = summarize({"a": scored([[1, 0, 0, 9], [0, 9, 1, 0], [0, 0, 0, 10]])}, 100)["a"]
    assert row["dice"] == pytest.approx(2 / 3) and row["dice_pooled"] == pytest.approx(2 / 12)
    assert row["iou_pooled"] == pytest.approx(1 / 11)
    assert row["precision"] == pytest.approx(1 / 10) and row["recall"] == pytest.approx(1 / 2)
    assert row["images"] == 3 and row["empty"] == 1


def test_counts_of_a_whole_test_set_do_not_overflow() -> None:
    masks = torch.ones(2, 4096, 4096, dtype=torch.bool)
    counts = scores.confusion_counts(masks, masks).numpy()
    assert scores.dice(np.repeat(counts, 2000, axis=0).sum(axis=0)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", network_names())
def test_bfloat16_scores_as_float32_does(sample: Path, name: str) -> None:
    ids = read_list(sample / TRAINVAL)
    train, test = (
        SegmentationDataset(sample, part, 64, FOREGROUND) for part in (ids[:150], read_list(sample / TEST))
    )
    normalization = Normalization([0.5] * 3, [0.25] * 3)
    exact, fast = (Runner(torch.device("cpu"), each, normalization) for each in ("float32", "bf16"))
    model = build_model(name, width=8).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    settings = DEFAULTS.train.model_copy(update={"epochs": 5})
    training = Training(model, Batches(train, 8, 0), Batches(test, 8), settings, exact, StopRequest())
    for _ in range(5):
        training.train_epoch()
        training.validate()
    rows = [
        summarize({name: score(Predictor(model, runner, 64, 0.5), Batches(test, 8).epoch(0))}, 100)[name]
        for runner in (exact, fast)
    ]
    assert rows[0]["dice"] > 0.6
    for key in ("dice", "iou", "dice_pooled", "iou_pooled", "dice_soft"):
        assert rows[1][key] == pytest.approx(rows[0][key], abs=1e-3), key
