"""A training that is killed or stopped is resumed, and ends with the bytes of one that never was."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import torch
from commands import run_stage
from conftest import built_once
from killing import left, outputs, run_interrupted, start, uninterrupted
from projects import copied, set_params

pytestmark = pytest.mark.slow


def finished_epochs(states: Path) -> int:
    """How many epochs the only state in the folder holds; 0 if there is none."""
    found = list(states.glob("*.state"))
    assert len(found) <= 1
    return len(torch.load(found[0], weights_only=True)["training"]["history"]) if found else 0


def set_everything(project: Path) -> None:
    """Params for which everything in a state matters; 16 images are 4 steps an epoch."""
    set_params(project, train__optimizer="muon", train__small_first=0.4, train__warmup=0.3)
    set_params(project, augment__affine=0.5, augment__color=0.2, model__dropout=0.3)
    set_params(project, train__epochs=6, train__batch_size=5, image__size=64)


# The moment, its number in that run, and how many epochs the next run finds finished at most: states are
# written as often as they are cheap. A resumed run first writes curve and checkpoint again.
KILLS = [
    ("a step", 3, 0),
    ("a step", 6, 1),
    ("a validation", 2, 1),
    ("a validation", 6, 2),
    *[("a write", number, 2) for number in (1, 2, 3, 4)],
    ("a write", 5, 3),
    ("a write", 6, 4),
    ("the summary", 1, 6),
]


@pytest.fixture(scope="session")
def expected(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Callable[[str], dict[str, str]]:
    """Gives the outputs of an uninterrupted training of a network with all of these params."""

    def train(folder: Path, name: str) -> None:
        project, states = copied(prepared, folder), folder / "states"
        set_everything(project)
        finished = run_stage(project, f"train_{name}", env=os.environ | {"XDG_STATE_HOME": str(states)})
        assert finished.returncode == 0, finished.stderr
        assert left(states / "binary-segmentation-pipeline") == []

    def outputs_of(name: str) -> dict[str, str]:
        folder = built_once(tmp_path_factory, f"uninterrupted_{name}", lambda path: train(path, name))
        return outputs(folder / "project", name)

    return outputs_of


@pytest.mark.fault("kill -9 in a step, in a validation, in the middle of a file")
def test_killed_again_and_again(
    project: Path, states: Path, expected: Callable[[str], dict[str, str]]
) -> None:
    set_everything(project)
    done = 0
    for moment, number, most in KILLS:
        killed = run_interrupted(project, "train_resnet", moment, number)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        resuming = f"resnet: resuming after epoch {done} of 6 and 0 of 4 steps\n"
        assert (resuming in killed.stdout) == (done > 0)
        before, done = done, finished_epochs(states)
        assert before <= done <= most, (moment, number)
    assert done == 6
    finished = run_stage(project, "train_resnet")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "resnet: resuming after epoch 6 of 6" in finished.stdout
    assert outputs(project, "resnet") == expected("resnet")
    assert left(states) == []


@pytest.mark.fault("SIGINT or SIGTERM in a step or in a validation")
def test_stopped_by_a_signal(project: Path, states: Path, expected: Callable[[str], dict[str, str]]) -> None:
    set_everything(project)
    progress = [
        ("a step", 2, signal.SIGTERM, "after epoch 0 of 6 and 2 of 4 steps"),
        ("a step", 1, signal.SIGINT, "after epoch 0 of 6 and 3 of 4 steps"),
        ("a step", 5, signal.SIGTERM, "after epoch 1 of 6 and 4 of 4 steps"),
        ("a validation", 1, signal.SIGTERM, "after epoch 1 of 6 and 4 of 4 steps"),
        ("a validation", 7, signal.SIGINT, "after epoch 2 of 6 and 4 of 4 steps"),
    ]
    for moment, number, signum, where in progress:
        stopped = run_interrupted(project, "train_unet", moment, number, signum)
        assert stopped.returncode == 128 + signum
        line = f"train_unet: stopped by {signum.name} {where}; run the same command again to resume\n"
        assert stopped.stderr == line
    finished = run_stage(project, "train_unet")
    assert f"unet: resuming {progress[-1][-1]}\n" in finished.stdout
    assert finished.returncode == 0 and outputs(project) == expected("unet") and left(states) == []


@pytest.mark.fault("SIGTERM to several processes that train together")
def test_several_processes_are_stopped_by_a_signal(project: Path, states: Path) -> None:
    set_everything(project)
    set_params(project, train__processes=3, train__epochs=8)
    before = uninterrupted(project)
    process = start(project)
    process.terminate()
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 143 and finished_epochs(states) >= 1
    assert stderr.count("stopped by SIGTERM after epoch") == 1 and len(stderr.splitlines()) == 1, stderr
    finished = run_stage(project, "train_unet")
    assert finished.returncode == 0 and finished.stdout.count("resuming after epoch") == 1
    assert outputs(project) == before and left(states) == []


@pytest.mark.fault("kill -9 of what started the training (DVC, torchrun): no orphan keeps running")
@pytest.mark.parametrize(("processes", "shell"), [(1, False), (2, False), (1, True)])
def test_training_ends_with_its_parent(project: Path, states: Path, processes: int, shell: bool) -> None:
    set_params(project, train__epochs=100_000, train__processes=processes)
    stage = f"{sys.executable} -m stages.train_unet"
    words = ["sh", "-c", f"{stage}; exit $?"] if shell else stage.split()  # a shell that stays
    start_it = f"import subprocess; subprocess.run({words})"
    parent = subprocess.Popen(
        [sys.executable, "-c", start_it], env=os.environ | {"DVC_STAGE": "train_unet"},
        cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert parent.stdout is not None
    for line in parent.stdout:
        if ": epoch " in line:
            break
    parent.kill()
    parent.wait()
    rest = parent.stdout.read()  # ends when the last process that could write to it has
    assert "stopped by SIGTERM after epoch" in rest
    assert left(states) == [".state"]  # and no lock


@pytest.mark.fault("kill -9 of DVC while its stage still starts: no orphan keeps running")
def test_training_whose_dvc_is_gone_already(project: Path, tmp_path: Path) -> None:
    set_params(project, train__epochs=100_000)
    log = tmp_path / "log.txt"
    started = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m stages.train_unet >{log} 2>&1 & echo $!"],
        env=os.environ | {"DVC_STAGE": "train_unet"}, cwd=project,
        stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    orphan = int(started.stdout)
    try:
        psutil.wait_procs([psutil.Process(orphan)] if psutil.pid_exists(orphan) else [], 60)
        assert "stopped by SIGTERM" in log.read_text()
    finally:
        with suppress(ProcessLookupError):
            os.kill(orphan, signal.SIGKILL)
