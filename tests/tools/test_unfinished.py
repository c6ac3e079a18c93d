"""What is shown while a training has not ended, and results that belong to other params or data."""

import json
import signal
from pathlib import Path

import pytest
import torch
from commands import RunHere
from killing import start
from PIL import Image
from projects import copied, set_params

from segmentation.models.checkpoints import warn
from segmentation.serving.networks import load_networks

OTHERS = "results of other params or data"


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    project = copied(finished, tmp_path)
    Image.new("RGB", (40, 40)).save(project / "photo.png")
    return project


def test_a_stopped_training_is_named_by_every_tool(
    project: Path, states: Path, run_here: RunHere, capsys: pytest.CaptureFixture[str]
) -> None:
    """After SIGINT: the checkpoint of the epochs so far."""
    set_params(project, train__epochs=1000)
    process = start(project)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    epoch, epochs = torch.load(project / "checkpoints/unet.pt", weights_only=True)["so_far"]
    assert 1 <= epoch < epochs == 1000
    line = f"warning: checkpoints/unet.pt: of a training that has not ended (epoch {epoch} of 1000)\n"
    commands = [["tools.predict", "photo.png"], ["tools.export", "--model", "unet"], ["tools.summary"]]
    for command in [*commands, ["tools.report"], ["stages.evaluate"]]:
        ended = run_here(project, *command)
        assert ended.status == 0 and ended.stderr.count(line) == 1, ended
    warn.cache_clear()
    load_networks([])  # what tools.serve does first
    assert capsys.readouterr().err == line


def test_a_network_whose_training_has_just_begun_is_not_passed_over_in_silence(
    project: Path, run_here: RunHere
) -> None:
    (project / "checkpoints/unet.pt").unlink()  # DVC deletes all three
    summary = project / "metrics/train_unet.json"
    assert run_here(project, "tools.predict", "photo.png").stderr == ""  # it was never here
    summary.unlink()
    said = run_here(project, "tools.predict", "photo.png", "--force").stderr
    assert said.startswith(
        "warning: checkpoints/unet.pt: no such checkpoint; train_unet has not run to its end"
    )
    assert "dvc repro" in said and said.count("\n") == 1


def test_results_of_other_params_or_another_split_are_labelled(project: Path, run_here: RunHere) -> None:
    assert OTHERS not in run_here(project, "tools.summary").stderr
    set_params(project, machine__cache_bytes=0)  # changes no result
    assert OTHERS not in run_here(project, "tools.summary").stderr
    set_params(project, train__lr=0.02, data__source="folder")
    split = project / "data/split.json"
    split.write_text(json.dumps(json.loads(split.read_text()) | {"sha256": "of other images"}))
    for tool in ("tools.summary", "tools.report"):
        said = run_here(project, tool).stderr
        assert said.startswith(f"warning: {OTHERS} (") and said.count("\n") == 1
        for difference in (
            "train.lr 0.01 -> 0.02",
            "data.source sample -> folder",
            "another data/split.json",
        ):
            assert difference in said
    assert "train.lr 0.01 -&gt; 0.02" in (project / "report/index.html").read_text()


def test_results_of_stages_that_ran_without_dvc_are_not_labelled(project: Path, run_here: RunHere) -> None:
    set_params(project, evaluate__bootstrap=150)
    assert OTHERS in run_here(project, "tools.summary").stderr
    assert run_here(project, "stages.evaluate").status == 0
    assert OTHERS not in run_here(project, "tools.summary").stderr
