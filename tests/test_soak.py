"""One `dvc repro` that is killed again and again, and ends with the outputs of one that never was."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from commands import dvc_environment
from content import digests
from projects import make_project, set_params

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "10"))
OUTPUTS = [
    "data/split.json",
    "data/stats.json",
    *[
        f"{part}"
        for name in ("unet", "resnet")
        for part in (f"checkpoints/{name}.pt", f"metrics/train_{name}.json")
    ],
    "metrics/plots/train_unet.csv",
    "metrics/plots/train_resnet.csv",
    "metrics/plots/overlays/worst.png",
    "metrics/per_image.csv",
    "metrics/test.json",
    "dvc.lock",
]
EPOCHS = max(120, 22 * ROUNDS)  # so that the rounds end before the training does


def repro(project: Path) -> subprocess.Popen[bytes]:
    with (project.parent / "log.txt").open("ab") as log:
        return subprocess.Popen(
            ["dvc", "repro"],
            cwd=project,
            env=dvc_environment(),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def stages_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes under `dvc repro`, the stage's own last."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def kill_all(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)


def kill_dvc(process: subprocess.Popen[bytes]) -> None:
    process.kill()


def kill_stage(process: subprocess.Popen[bytes]) -> None:
    for child in stages_of(process):
        child.kill()


def terminate_stage(process: subprocess.Popen[bytes]) -> None:
    for child in stages_of(process):
        child.terminate()


def interrupt_all(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C does


WAYS = [kill_all, kill_dvc, kill_stage, terminate_stage, interrupt_all]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = make_project(tmp_path_factory.mktemp("uninterrupted") / "project")
    set_params(project, train__epochs=EPOCHS, augment__affine=0.5)
    (project / "dvc.lock").unlink(missing_ok=True)
    assert repro(project).wait(timeout=900) == 0
    return project


@pytest.mark.slow
@pytest.mark.fault("the soak: `dvc repro` or its stage killed or interrupted at random, 1 to 20 s apart")
def test_soak(uninterrupted: Path, tmp_path: Path, states: Path) -> None:
    project = make_project(tmp_path / "project")
    set_params(project, train__epochs=EPOCHS, augment__affine=0.5)
    (project / "dvc.lock").unlink(missing_ok=True)
    draw, interruptions, log = random.Random(0), 0, tmp_path / "log.txt"
    for _ in range(20 + 10 * ROUNDS):
        if interruptions >= ROUNDS and "resuming after epoch" in log.read_text():
            break
        process = repro(project)
        try:
            if process.wait(draw.uniform(1, 20)) == 0:
                break  # it has finished: nothing is left to interrupt
        except subprocess.TimeoutExpired:
            WAYS[interruptions % len(WAYS)](process)
            interruptions += 1
            process.wait(timeout=120)
    deadline = time.monotonic() + 900
    while (process := repro(project)).wait(timeout=900) != 0:  # an orphan may be finishing its last step
        assert time.monotonic() < deadline, log.read_text()[-3000:]
    assert interruptions >= min(3, ROUNDS) and "resuming after epoch" in log.read_text()
    said = log.read_text()  # SIGINT while DVC itself imports leaves Python's own traceback
    assert said.count("Traceback") <= said.count("\nKeyboardInterrupt"), said[said.find("Traceback") :][:9000]
    assert digests(project, OUTPUTS) == digests(uninterrupted, OUTPUTS)
    assert list(states.glob("*.state")) == [] and list(states.glob("*.damaged")) == []
    assert [path for path in project.glob("**/.*.tmp*") if ".dvc" not in path.parts] == []
