"""What the default params promise: both networks learn the sample images, whatever the seed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from commands import run_stage
from projects import ROOT, STAGES, make_project, set_params

from segmentation.common import artifacts
from segmentation.inference.predictor import Predictor, Runner
from segmentation.loading.dataset import SegmentationDataset
from segmentation.loading.transforms import Normalization
from segmentation.models.checkpoints import load_checkpoint
from segmentation.scoring import scores
from segmentation.training.loader import Batches
from segmentation.training.losses import LOSSES
from segmentation.training.validation import score

SEEDS = (0, 1)  # ten minutes each with one thread


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_both_networks_reach_090_on_the_sample(tmp_path: Path, seed: int) -> None:
    project = make_project(tmp_path)
    (project / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    set_params(project, train__seed=seed)
    assert yaml.safe_load((project / "params.yaml").read_text())["data"]["source"] == "sample"
    for stage in STAGES:
        finished = run_stage(project, stage)
        assert finished.returncode == 0, finished.stderr
    metrics = json.loads((project / "metrics/test.json").read_text())
    assert metrics["unet"]["dice"] >= 0.90 and metrics["resnet"]["dice"] >= 0.90
    details = json.loads((project / artifacts.DETAILS).read_text())
    assert details["baselines"]["mean_mask"]["dice"] < 0.72
    for name in ("unet", "resnet"):
        assert gap_of_precisions(project, name) < 1e-3


def gap_of_precisions(project: Path, name: str) -> float:
    """The largest difference of any test score of a trained network between float32 and bfloat16."""
    model, meta = load_checkpoint(project / f"checkpoints/{name}.pt")
    ids = json.loads((project / artifacts.SPLIT).read_text())["test"]
    test = SegmentationDataset(project / artifacts.RAW, ids, meta.geometry, meta.foreground)
    rows = []
    for precision in ("float32", "bf16"):
        runner = Runner(torch.device("cpu"), precision, Normalization(meta.mean, meta.std))
        scored = score(
            Predictor(model, runner, meta.geometry, meta.threshold),
            Batches(test, 8).epoch(0),
            LOSSES["bce_dice"],
        )
        pooled = scored.counts.sum(axis=0)
        soft = scores.mean_soft_dice(scored.soft)
        rows.append(np.array([scores.dice(scored.counts).mean(), scores.dice(pooled), soft]))
    return float(np.abs(rows[0] - rows[1]).max())
