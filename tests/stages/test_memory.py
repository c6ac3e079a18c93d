"""Out of memory: the stage says with what, and what to lower; nothing is lost."""

import json
import resource
from pathlib import Path

import pytest
import torch
from commands import run_stage
from projects import copied, set_params

GIB = 2**30

pytestmark = pytest.mark.slow


def limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (6 * GIB, 6 * GIB))


@pytest.mark.fault("out of memory")
@pytest.mark.parametrize("name", ["unet", "resnet"])
def test_training_without_enough_memory(project: Path, states: Path, name: str) -> None:
    set_params(project, image__size=2048, model__width=64, train__batch_size=16)
    finished = run_stage(project, f"train_{name}", preexec_fn=limit)
    assert finished.returncode == 1, finished.stderr[-500:]
    assert finished.stderr == (
        f"train_{name}: error: out of memory with 16 images of 2048x2048 pixels a step; lower"
        " train.batch_size, image.size or model.width\n"
    )


@pytest.mark.fault("out of memory")
def test_evaluation_without_enough_memory(finished: Path, tmp_path: Path) -> None:
    project = copied(finished, tmp_path)
    set_checkpoint_size(project, 4096)
    ended = run_stage(project, "evaluate", preexec_fn=limit)
    assert ended.returncode == 1, ended.stderr[-500:]
    assert ended.stderr.startswith("evaluate: error: out of memory with 8 images of 4096x4096 pixels a step")
    assert len(ended.stderr.splitlines()) == 1


def set_checkpoint_size(project: Path, size: int) -> None:
    """Let both checkpoints claim that they were trained on larger images."""
    for path in (project / "checkpoints").glob("*.pt"):
        content = torch.load(path, weights_only=True)
        content["meta"] = json.dumps(json.loads(content["meta"]) | {"size": size})
        torch.save(content, path)
