"""A whole training in this process; tests/stages/test_resume.py stops and kills real processes."""

import os
import signal
from pathlib import Path

import pytest
import torch
from projects import set_params

from segmentation.common.errors import Fault
from segmentation.common.signals import Interrupted
from segmentation.params import load_params
from segmentation.training.optimizer import Optimization
from segmentation.training.run import train_network


def outputs(name: str) -> list[bytes]:
    paths = [f"checkpoints/{name}.pt", f"metrics/train_{name}.json", f"metrics/plots/train_{name}.csv"]
    return [Path(path).read_bytes() for path in paths]


@pytest.mark.parametrize(("name", "optimizer"), [("unet", "muon"), ("resnet", "adamw")])
def test_a_stopped_training_resumes_to_the_same_bytes(
    project: Path,
    states: Path,
    name: str,
    optimizer: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(project)
    set_params(
        project,
        train__optimizer=optimizer,
        train__epochs=4,
        train__batch_size=5,
        augment__affine=0.5,
    )
    train_network(name, load_params())
    expected, steps, step = outputs(name), 0, Optimization.step
    assert list(states.iterdir()) == []

    def stop_at_step_6(optimization: Optimization) -> None:
        nonlocal steps
        step(optimization)
        steps += 1
        if steps == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Optimization, "step", stop_at_step_6)
        with pytest.raises(Interrupted, match="after epoch 1 of 4 and 2 of 4 steps; run the same command"):
            train_network(name, load_params())
    assert [path.suffix for path in states.iterdir()] == [".state"]
    capsys.readouterr()
    train_network(name, load_params())
    assert f"{name}: resuming after epoch 1 of 4 and 2 of 4 steps\n" in capsys.readouterr().out
    assert outputs(name) == expected and list(states.iterdir()) == []


@pytest.mark.parametrize(("batch_size", "smaller"), [(9, "train.batch_size = 4, or "), (1, "")])
def test_out_of_memory_says_what_to_try(
    project: Path, states: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int, smaller: str
) -> None:
    def fail(_: Optimization) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.chdir(project)
    monkeypatch.setattr(Optimization, "step", fail)
    set_params(project, train__batch_size=batch_size)
    work, remedy = f"{batch_size} images of 32x32 pixels a step", "a lower image.size or model.width"
    with pytest.raises(Fault, match=f"^out of memory with {work}; try {smaller}{remedy}$"):
        train_network("unet", load_params())
