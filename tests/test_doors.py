"""Every stage and tool as a command: `--help`, what it refuses, and a closed pipe."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from commands import RunHere, run_stage
from projects import set_params

from segmentation.experiments.launching import launch
from segmentation.prediction.kinds import KINDS

ROOT = Path(__file__).parents[1]
DOORS = sorted(
    f"{path.parent.name}.{path.stem}"
    for folder in ("stages", "tools")
    for path in (ROOT / folder).glob("*.py")
    if path.stem != "__init__"
)


@pytest.mark.parametrize("door", DOORS)
def test_help_says_what_it_does_and_does_nothing(door: str, run_here: RunHere, tmp_path: Path) -> None:
    status, stdout, stderr = run_here(tmp_path, door, "--help")
    doc = importlib.import_module(door).__doc__
    assert doc and doc.splitlines()[0] in stdout and f"usage: python -m {door}" in stdout
    assert (status, stderr) == (0, "") and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("door", DOORS)
def test_unknown_arguments_are_refused_in_one_line(door: str, run_here: RunHere, tmp_path: Path) -> None:
    status, stdout, stderr = run_here(tmp_path, door, "--no-such-option")
    assert status == 2 and stderr.startswith(f"{door.split('.')[1]}: error: ") and stderr.count("\n") == 1
    assert f"python -m {door} --help" in stderr and "--no-such-option" in stderr
    assert stdout == "" and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("door", DOORS)
def test_errors_are_one_line_with_its_name(door: str, run_here: RunHere, tmp_path: Path) -> None:
    arguments = {"tools.predict": ["nothing.jpg"]}.get(door, [])
    status, _, stderr = run_here(tmp_path, door, *arguments)  # where there is nothing
    assert status == 2 and stderr.startswith(f"{door.split('.')[1]}: error: ") and stderr.count("\n") == 1
    assert ": no such " in stderr


@pytest.mark.parametrize("door", [door for door in DOORS if door.startswith("tools.")])
def test_help_is_quick(door: str) -> None:
    """It needs no library: those that work take seconds to import."""
    command = [sys.executable, "-X", "importtime", "-m", door, "--help"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in ended.stderr.splitlines()}
    slow = {"torch", "cv2", "numpy", "PIL", "pydantic", "yaml", "vl_convert", "dvc", "fastapi"}
    assert "argparse" in imported and imported & slow == set()


def test_help_says_what_the_library_does(run_here: RunHere, tmp_path: Path) -> None:
    """Written out, since it does not import the library."""
    predict = run_here(tmp_path, "tools.predict", "--help").stdout
    assert f"{', '.join(KINDS)}; default: mask" in " ".join(predict.split())
    ask = " ".join(run_here(tmp_path, "tools.experiments", "run", "--help").stdout.split())
    defaults = inspect.signature(launch).parameters
    assert all(f"(default: {defaults[name].default})" in ask for name in ("at_once", "minutes"))


def closed_early(project: Path, door: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m DOOR | true`."""
    process = subprocess.Popen(
        [sys.executable, "-m", door], cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    return subprocess.CompletedProcess(door, process.wait(timeout=300), "", error)


def test_a_closed_pipe_ends_a_tool_quietly(finished: Path) -> None:
    ended = closed_early(finished, "tools.summary")
    assert (ended.returncode, ended.stderr) == (141, "")


@pytest.mark.slow
def test_a_closed_pipe_ends_a_training_quietly(project: Path) -> None:
    set_params(project, train__epochs=3)
    ended = closed_early(project, "stages.train_unet")
    assert (ended.returncode, ended.stderr) == (141, "")
    finished = run_stage(project, "train_unet")
    assert finished.returncode == 0 and "epoch 3/3" in finished.stdout
