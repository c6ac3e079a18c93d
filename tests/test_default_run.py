"""What the default params promise: both networks learn the sample pictures, whatever the seed."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from conftest import ROOT, make_project, run_stage, set_params

from segmentation.common import dataset_layout as layout
from segmentation.evaluation.compare import report
from segmentation.inference.dataset_pass import Normalization, Runner, score
from segmentation.loading.dataset import Batches, SegmentationDataset
from segmentation.models.checkpoints import load_checkpoint


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_both_networks_reach_090_on_the_sample(tmp_path: Path, seed: int) -> None:
    project = make_project(tmp_path)
    (project / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    set_params(project, train__seed=seed)
    assert yaml.safe_load((project / "params.yaml").read_text())["data"]["source"] == "sample"
    for stage in ("download", "split", "compute_stats", "train_unet", "train_resnet", "evaluate"):
        finished = run_stage(project, stage)
        assert finished.returncode == 0, finished.stderr
    metrics = json.loads((project / "metrics/test.json").read_text())
    assert metrics["unet"]["dice"] >= 0.90 and metrics["resnet"]["dice"] >= 0.90
    assert metrics["baselines"]["mean_mask"]["dice"] < 0.72
    for name in ("unet", "resnet"):
        assert gap_of_precisions(project, name) < 1e-3


def gap_of_precisions(project: Path, name: str) -> float:
    """The largest difference of any test score of a trained network between float32 and bfloat16."""
    network = load_checkpoint(project / f"checkpoints/{name}.pt")
    ids = json.loads((project / layout.SPLIT).read_text())["test"]
    pictures = SegmentationDataset(project / layout.RAW, ids, network.meta.size, network.meta.foreground)
    normalization = Normalization(network.meta.mean, network.meta.std)
    rows = []
    for precision in ("float32", "bf16"):
        runner = Runner(torch.device("cpu"), precision, normalization)
        scored = score(network.model, Batches(pictures, 8).epoch(0), runner, network.meta.threshold)
        rows.append(report({name: scored}, 100)[name])
    return max(abs(rows[0][key] - rows[1][key]) for key in rows[0])
