"""States that a training must not resume from: damaged, of another training, or in another process's use."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import run_stage
from killing import left, outputs, run_interrupted, uninterrupted
from projects import set_params

pytestmark = pytest.mark.slow


def stop_in_the_second_epoch(project: Path) -> None:
    """Leave the state of a training after its first epoch."""
    assert run_interrupted(project, "train_unet", "a step", 3, signal.SIGTERM).returncode == 143


@pytest.mark.fault("a state file that is torn or has a wrong bit")
def test_a_damaged_state_is_moved_aside(project: Path, states: Path) -> None:
    set_params(project, train__epochs=4)
    before = uninterrupted(project)
    stop_in_the_second_epoch(project)
    (path,) = states.glob("*.state")
    path.write_bytes(path.read_bytes()[:-1])
    finished = run_stage(project, "train_unet")
    assert finished.returncode == 0 and "resuming" not in finished.stdout
    assert finished.stderr == (
        f"unet: {path} is damaged: moved to {path.stem}.damaged; training starts from the beginning\n"
    )
    assert outputs(project) == before and left(states) == [".damaged"]


@pytest.mark.fault("a state of other params, another split, other stats or other code")
def test_after_a_change_it_starts_from_the_beginning_and_says_why(project: Path, states: Path) -> None:
    set_params(project, train__epochs=4)
    stop_in_the_second_epoch(project)
    changes: list[tuple[Callable[[], None], str]] = [
        (lambda: set_params(project, train__lr=0.001), "train.lr 0.01 -> 0.001"),
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
        assert finished.returncode == 0 and "resuming" not in finished.stdout
        assert finished.stderr.startswith("unet: starts from the beginning; the latest unfinished training")
        assert named in finished.stderr and len(finished.stderr.splitlines()) == 1
        (said,) = states.glob("*.said")  # it would not be said again
        said.unlink()
    assert left(states) == [".state"]  # the other training's, which can still be resumed


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_params_that_change_no_result_do_not_count(project: Path, states: Path) -> None:
    stop_in_the_second_epoch(project)
    set_params(project, machine__cache_bytes=0, evaluate__bootstrap=200, data__max_dropped=0.5)
    assert "unet: resuming after" in run_stage(project, "train_unet").stdout
