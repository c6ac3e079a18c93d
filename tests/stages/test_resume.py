"""A training that is killed or told to end goes on, and ends with the bytes of one that never was."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import run_stage, set_params
from killing import run_struck

Rounds = Callable[[int], None]
SLOW = pytest.param("resnet", marks=pytest.mark.slow)


def outputs(project: Path, name: str = "unet") -> dict[str, str]:
    paths = [f"checkpoints/{name}.pt", f"metrics/train_{name}.json", f"metrics/plots/train_{name}.csv"]
    return {path: hashlib.md5((project / path).read_bytes()).hexdigest() for path in paths}


def whole(project: Path, name: str = "unet") -> dict[str, str]:
    """What a training leaves that nothing interrupts; removed, as by DVC before a stage runs again."""
    finished = run_stage(project, f"train_{name}")
    assert finished.returncode == 0, finished.stderr
    found = outputs(project, name)
    for path in found:
        (project / path).unlink()
    return found


def left(states: Path) -> list[str]:
    return sorted(path.suffix for path in states.iterdir())


def finished_epochs(states: Path) -> int:
    """How many epochs the only state in the folder holds; 0 where there is none."""
    found = list(states.glob("*.state"))
    assert len(found) <= 1
    return int(json.loads(found[0].read_bytes().partition(b"\n")[0])["epochs"]) if found else 0


def set_everything(project: Path) -> None:
    """Params with which all that a state has to hold changes the result; 16 pictures are 4 steps an epoch."""
    set_params(project, train__ema=0.9, train__clip=1.0, train__small_first=0.4, train__warmup=0.3)
    set_params(project, augment__affine=0.5, augment__color=0.2, model__dropout=0.3)
    set_params(project, train__epochs=6, train__batch_size=5, image__size=64)


# The moment, its number in that run, and how many epochs the next run finds finished. A run that goes on
# first writes the curve and the checkpoint back; an epoch writes its curve, perhaps a checkpoint, its state.
KILLS = [
    ("a step", 3, {0}),
    ("a step", 6, {1}),
    ("a validation", 2, {1}),
    ("a validation", 6, {2}),
    *[("a write", number, {2}) for number in (1, 2, 3, 4)],
    ("a write", 5, {2, 3}),
    ("a write", 6, {3, 4}),
    ("the summary", 1, {6}),
]


@pytest.mark.fault("kill -9 in a step, in a validation, in the middle of a file")
@pytest.mark.parametrize("name", ["unet", SLOW])
def test_killed_again_and_again(project: Path, states: Path, name: str, rounds: Rounds) -> None:
    set_everything(project)
    expected = whole(project, name)
    assert left(states) == []
    done = 0
    for moment, number, epochs in KILLS:
        killed = run_struck(project, f"train_{name}", moment, number)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        goes_on = f"{name}: goes on after epoch {done} of 6 and 0 of 4 steps\n"
        assert (goes_on in killed.stdout) == (done > 0)
        done = finished_epochs(states)
        assert done in epochs, (moment, number)
    finished = run_stage(project, f"train_{name}")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert f"{name}: goes on after epoch 6 of 6" in finished.stdout
    assert outputs(project, name) == expected
    assert left(states) == []
    rounds(len(KILLS))


@pytest.mark.fault("SIGINT or SIGTERM in a step or in a validation")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", ["unet", SLOW])
def test_told_to_end(project: Path, states: Path, name: str, signum: signal.Signals, rounds: Rounds) -> None:
    set_everything(project)
    expected = whole(project, name)
    reached = [
        ("a step", 2, "after epoch 0 of 6 and 2 of 4 steps"),
        ("a step", 1, "after epoch 0 of 6 and 3 of 4 steps"),
        ("a step", 5, "after epoch 1 of 6 and 4 of 4 steps"),
        ("a validation", 1, "after epoch 1 of 6 and 4 of 4 steps"),
        ("a validation", 7, "after epoch 2 of 6 and 4 of 4 steps"),
    ]
    for moment, number, where in reached:
        told = run_struck(project, f"train_{name}", moment, number, signum)
        assert told.returncode == 128 + signum
        line = f"train_{name}: stopped by {signum.name} {where}; the same command goes on from there\n"
        assert told.stderr == line
    finished = run_stage(project, f"train_{name}")
    assert f"{name}: goes on {reached[-1][2]}\n" in finished.stdout
    assert finished.returncode == 0 and outputs(project, name) == expected and left(states) == []
    rounds(len(reached))


def start(project: Path, stage: str = "train_unet") -> subprocess.Popen[str]:
    """Start a training and wait for its first epoch."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"stages.{stage}"],
        cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if ": epoch " in line:
            return process
    raise AssertionError(process.communicate()[1])


@pytest.mark.fault("SIGTERM to several processes that train together")
def test_two_processes_are_told_to_end(project: Path, states: Path) -> None:
    set_everything(project)
    set_params(project, train__processes=2, train__epochs=12)
    expected = whole(project)
    process = start(project)
    process.terminate()
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 143 and finished_epochs(states) >= 1
    assert stderr.count("stopped by SIGTERM after epoch") == 1 and len(stderr.splitlines()) == 1, stderr
    finished = run_stage(project, "train_unet")
    assert finished.returncode == 0 and finished.stdout.count("goes on after epoch") == 1
    assert outputs(project) == expected and left(states) == []


@pytest.mark.fault("kill -9 of what started the training (DVC, torchrun): no orphan goes on")
@pytest.mark.parametrize("processes", [1, 2])
def test_training_ends_with_its_parent(project: Path, states: Path, processes: int) -> None:
    set_params(project, train__epochs=100_000, train__processes=processes)
    start_it = f"import subprocess, sys; subprocess.run([{sys.executable!r}, '-m', 'stages.train_unet'])"
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


@pytest.mark.fault("two of the same training at once")
def test_a_second_run_names_the_first(project: Path, states: Path) -> None:
    set_params(project, train__epochs=100_000)
    first = start(project)
    try:
        second = run_stage(project, "train_unet")
    finally:
        first.kill()
        first.wait()
    assert second.returncode == 1
    assert f"train_unet: error: process {first.pid} on " in second.stderr
    assert f"in {project} (" in second.stderr and len(second.stderr.splitlines()) == 1
    other = start(project)  # the lock of a process that is gone is none
    other.kill()
    other.wait()


def stopped(project: Path) -> None:
    """Leave the state of a training after its first epoch."""
    assert run_struck(project, "train_unet", "a step", 3, signal.SIGTERM).returncode == 143


@pytest.mark.fault("a state file that is torn or has a wrong bit")
def test_a_damaged_state_is_set_aside(project: Path, states: Path) -> None:
    set_params(project, train__epochs=4)
    expected = whole(project)
    stopped(project)
    (path,) = states.glob("*.state")
    path.write_bytes(path.read_bytes()[:-1])
    finished = run_stage(project, "train_unet")
    assert finished.returncode == 0 and "goes on" not in finished.stdout
    assert finished.stderr == (
        f"unet: {path} is damaged: set aside as {path.stem}.damaged; training starts afresh\n"
    )
    assert outputs(project) == expected and left(states) == [".damaged"]


@pytest.mark.fault("a state of other params, another split, other stats or other code")
def test_a_change_starts_afresh_and_says_why(project: Path, states: Path, rounds: Rounds) -> None:
    set_params(project, train__epochs=4)
    stopped(project)
    changes: list[tuple[Callable[[], None], str]] = [
        (lambda: set_params(project, train__lr=0.001), "train.lr 0.002 -> 0.001"),
        (lambda: edit(project / "data/split.json", '"sha256": "', '"sha256": "0'), "another data/split.json"),
        (lambda: edit(project / "data/stats.json", "0.", "0.0"), "another data/stats.json"),
        (
            lambda: edit(
                project / "segmentation/training/losses.py", "import torch\n", "import torch  # again\n"
            ),
            "another segmentation/training/losses.py",
        ),
    ]
    for change, named in changes:  # each on top of those before
        change()
        finished = run_stage(project, "train_unet")
        assert finished.returncode == 0 and "goes on" not in finished.stdout
        assert finished.stderr.startswith("unet: starts afresh; the training that stopped after epoch 1 (")
        assert named in finished.stderr and len(finished.stderr.splitlines()) == 1
    assert left(states) == [".state"]  # the other training's, to which one may go back
    rounds(len(changes))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_what_changes_no_result_is_no_change(project: Path, states: Path) -> None:
    stopped(project)
    set_params(project, machine__cache_bytes=0, evaluate__bootstrap=200, data__max_dropped=0.5)
    assert "unet: goes on after" in run_stage(project, "train_unet").stdout
