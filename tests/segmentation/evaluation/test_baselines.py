from pathlib import Path

import numpy as np
import pytest
from test_evaluated_checkpoints import metadata

from segmentation.common.dataset_layout import TEST, TRAINVAL, read_list
from segmentation.common.geometry import Geometry
from segmentation.evaluation.prediction_scores import baselines, score_predictions
from segmentation.inference.predictor import Predictor
from segmentation.loading.dataset import SegmentationDataset
from segmentation.models.build import build_model
from segmentation.models.checkpoints import Checkpoint
from segmentation.scoring import scores

FOREGROUND = ["pet", "border"]


def test_baselines_against_plain_numpy(sample: Path) -> None:
    train = SegmentationDataset(sample, read_list(sample / TRAINVAL)[:40], Geometry(64), FOREGROUND)
    ids = read_list(sample / TEST)[:20]
    share = baselines(train)["mean_mask"].probabilities
    masks = np.stack([train.read_mask(i) for i in range(40)])
    np.testing.assert_allclose(share, masks.mean(axis=0), atol=1e-6)
    mask = share >= 0.5
    assert 0 < mask.mean() < 1
    network = Predictor.from_checkpoint(Checkpoint(build_model("unet", 2), metadata("unet")))
    counts = score_predictions(sample, ids, FOREGROUND, {"unet": network}, baselines(train)).baselines
    test = SegmentationDataset(sample, ids, Geometry(64), FOREGROUND)
    targets = np.stack([test.read_mask(i) for i in range(20)])
    expected = [2 * (mask & target).sum() / (mask.sum() + target.sum()) for target in targets]
    np.testing.assert_allclose(scores.dice(counts["mean_mask"]["network"]), expected)
    everything = counts["all_foreground"]["network"]
    assert scores.recall(everything).min() == 1
    assert scores.precision(everything) == pytest.approx(targets.mean(axis=(1, 2)))
    own = counts["all_foreground"]["original"]
    assert scores.recall(own).min() == 1 and (own.sum(axis=1) > 64 * 64).all()  # at each image's own size
