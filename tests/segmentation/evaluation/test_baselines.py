from pathlib import Path

import numpy as np
import pytest

from segmentation.common.dataset_layout import TEST, TRAINVAL, read_list
from segmentation.evaluation.baselines import mean_mask, score_baselines, score_constant
from segmentation.loading.dataset import SegmentationDataset
from segmentation.scoring import scores

FOREGROUND = ["pet", "border"]


def test_baselines_against_plain_numpy(sample: Path) -> None:
    train = SegmentationDataset(sample, read_list(sample / TRAINVAL)[:40], 48, FOREGROUND)
    test = SegmentationDataset(sample, read_list(sample / TEST)[:20], 48, FOREGROUND)
    mask = mean_mask(train)
    masks = np.stack([train.read_mask(i) for i in range(40)])
    assert (mask == (masks.mean(axis=0) >= 0.5)).all() and 0 < mask.mean() < 1
    targets = np.stack([test.read_mask(i) for i in range(20)])
    expected = [2 * (mask & target).sum() / (mask.sum() + target.sum()) for target in targets]
    np.testing.assert_allclose(scores.dice(score_constant(mask, test).counts), expected)
    everything = score_constant(np.ones((48, 48), np.uint8), test)
    assert scores.recall(everything.counts).min() == 1
    assert scores.precision(everything.counts) == pytest.approx(targets.mean(axis=(1, 2)))
    found = score_baselines(test, train)
    assert (found["mean_mask"].counts == score_constant(mask, test).counts).all()
    assert (found["all_foreground"].counts == everything.counts).all()
