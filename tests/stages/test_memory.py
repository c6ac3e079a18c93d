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


def limit(size: int = 6 * GIB) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


@pytest.mark.fault("out of memory")
@pytest.mark.skipif(torch.version.cuda is not None, reason="the CUDA build alone maps more than the limit")
def test_training_without_enough_memory(project: Path, states: Path) -> None:
    """It says what to try: the batch that one finds by that fits."""
    set_params(project, image__size=256, model__width=32)
    # bfloat16 takes less: there, 16 images would fit
    set_params(project, train__epochs=1, train__small_first=0.0, train__precision="float32")
    batch_size = 16
    while batch_size:
        set_params(project, train__batch_size=batch_size)
        finished = run_stage(project, "train_unet", preexec_fn=lambda: limit(3 * GIB))
        if finished.returncode == 0:
            break
        assert finished.returncode == 1 and finished.stderr == (
            f"train_unet: error: out of memory with {batch_size} images of 256x256 pixels a step;"
            f" try train.batch_size = {batch_size // 2}, or a lower image.size or model.width\n"
        )
        batch_size //= 2
    assert 1 <= batch_size < 16


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
