"""What the default params promise: both networks learn the sample pictures, whatever the seed."""

import json
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, make_project, run_stage, set_params


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
