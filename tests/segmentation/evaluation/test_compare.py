from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import DEFAULTS

from segmentation.common.dataset_layout import TEST, TRAINVAL, read_list
from segmentation.evaluation.compare import (
    difference,
    intervals,
    mean_mask,
    report,
    runner_for,
    score_constant,
)
from segmentation.inference.dataset_pass import Normalization, Runner, Scored, score
from segmentation.loading.dataset import Batches, SegmentationDataset
from segmentation.models.build import NAMES, build_model
from segmentation.models.checkpoints import Meta, Network
from segmentation.runtime.devices import choose_device, choose_precision
from segmentation.scoring import scores
from segmentation.training.loop import Training

FOREGROUND = ["pet", "border"]


def scored(counts: list[list[int]]) -> Scored:
    return Scored(np.array(counts), np.ones((len(counts), 3)), 0.0)


def test_an_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng, hits = np.random.default_rng(0), 0
    for trial in range(300):
        values = rng.beta(8, 2, (80, 1))
        ((low, high),) = intervals(values, 1000, seed=trial)
        hits += low <= 0.8 <= high
    assert 0.90 <= hits / 300 <= 0.98


def test_an_interval_is_as_wide_as_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(0.9, 0.05, (3669, 1))
    ((low, high),) = intervals(values, 10_000)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 3669**0.5, rel=0.05)
    assert intervals(values, 10_000) == [(low, high)]


def test_resamples_are_drawn_in_chunks_that_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random((50, 2))
    whole = intervals(values, 1000)
    monkeypatch.setattr("segmentation.evaluation.compare.CHUNK", 50 * 7)
    assert intervals(values, 1000) == whole  # the stream of random numbers is the same


def test_the_difference_is_paired() -> None:
    rng = np.random.default_rng(0)
    hard = rng.integers(10, 900, 200)  # pictures differ widely, the networks by little
    worse = scored([[tp, 50, 40, 10] for tp in hard])
    better = scored([[tp + 10, 50, 30, 10] for tp in hard])
    gap = difference(better, worse, 1000)
    rows = report({"worse": worse, "better": better}, 1000)
    assert 0 < gap["low"] < gap["dice"] < gap["high"]
    assert gap["dice"] == pytest.approx(rows["better"]["dice"] - rows["worse"]["dice"])
    assert gap["high"] - gap["low"] < 0.5 * (rows["better"]["dice_high"] - rows["better"]["dice_low"])


def test_report_pools_and_averages() -> None:
    row = report({"a": scored([[1, 0, 0, 9], [0, 9, 1, 0], [0, 0, 0, 10]])}, 100)["a"]
    assert row["dice"] == pytest.approx(2 / 3) and row["dice_dataset"] == pytest.approx(2 / 12)
    assert row["iou_dataset"] == pytest.approx(1 / 11)
    assert row["precision"] == pytest.approx(1 / 10) and row["recall"] == pytest.approx(1 / 2)
    assert row["images"] == 3 and row["empty"] == 1


def test_baselines_against_plain_numpy(sample: Path) -> None:
    train = SegmentationDataset(sample, read_list(sample / TRAINVAL)[:40], 48, FOREGROUND)
    test = SegmentationDataset(sample, read_list(sample / TEST)[:20], 48, FOREGROUND)
    mask = mean_mask(train)
    masks = np.stack([train.read_mask(i) for i in range(40)])
    assert (mask == (masks.mean(axis=0) >= 0.5)).all() and 0 < mask.mean() < 1
    truths = np.stack([test.read_mask(i) for i in range(20)])
    expected = [2 * (mask & truth).sum() / (mask.sum() + truth.sum()) for truth in truths]
    np.testing.assert_allclose(scores.dice(score_constant(mask, test).counts), expected)
    everything = score_constant(np.ones((48, 48), np.uint8), test)
    assert scores.recall(everything.counts).min() == 1
    assert scores.precision(everything.counts) == pytest.approx(truths.mean(axis=(1, 2)))


def test_counts_of_a_whole_test_set_do_not_overflow() -> None:
    masks = torch.ones(2, 4096, 4096, dtype=torch.bool)
    counts = scores.confusion_counts(masks, masks).numpy()
    assert scores.dice(np.repeat(counts, 2000, axis=0).sum(axis=0)) == 1


@pytest.mark.parametrize(("trained", "expected"), [("float32", "float32"), ("bf16", None)])
def test_a_network_is_scored_as_it_was_trained(trained: str, expected: str | None) -> None:
    meta = Meta(
        model="unet", width=4, size=64, mean=[0.5] * 3, std=[0.2] * 3, threshold=0.5, foreground=["pet"],
        epoch=1, device="cpu", processes=1, precision=trained, params={},
    )  # fmt: skip
    found = runner_for(Network(build_model("unet", 4), meta)).precision
    assert found == (expected or choose_precision("auto", choose_device()))


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_scores_as_float32_does(sample: Path, name: str) -> None:
    ids = read_list(sample / TRAINVAL)
    train, test = (
        SegmentationDataset(sample, part, 64, FOREGROUND) for part in (ids[:150], read_list(sample / TEST))
    )
    normalization = Normalization([0.5] * 3, [0.25] * 3)
    exact, fast = (Runner(torch.device("cpu"), each, normalization) for each in ("float32", "bf16"))
    model = build_model(name, width=8).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    settings = DEFAULTS.train.model_copy(update={"epochs": 5})
    for _ in Training(model, Batches(train, 8, 0), Batches(test, 8), settings, exact, 0.5).epochs():
        pass
    rows = [
        report({name: score(model, Batches(test, 8).epoch(0), runner, 0.5)}, 100)[name]
        for runner in (exact, fast)
    ]
    assert rows[0]["dice"] > 0.6
    for key in ("dice", "iou", "dice_dataset", "iou_dataset", "dice_report"):
        assert rows[1][key] == pytest.approx(rows[0][key], abs=1e-3), key
