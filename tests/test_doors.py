"""Every stage and tool as a command: `--help`, what it refuses, and a closed pipe."""

import importlib
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import run_stage, set_params

ROOT = Path(__file__).parents[1]
DOORS = sorted(
    f"{path.parent.name}.{path.stem}"
    for folder in ("stages", "tools")
    for path in (ROOT / folder).glob("*.py")
    if path.stem != "__init__"
)


@pytest.fixture(autouse=True)
def _signal_handlers() -> Iterator[None]:
    """A command sets handlers of its own; pytest gets its own back."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def run_door(door: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Run `python -m DOOR ARGUMENTS` in this process and return its exit status."""
    monkeypatch.setattr(sys, "argv", [door, *arguments])
    monkeypatch.delitem(sys.modules, door, raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(door, run_name="__main__", alter_sys=True)
    return int(ended.value.code or 0)


@pytest.mark.parametrize("door", DOORS)
def test_help_says_what_it_does_and_does_nothing(
    door: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_door(door, ["--help"], monkeypatch) == 0
    said = capsys.readouterr()
    doc = importlib.import_module(door).__doc__
    assert doc and doc.splitlines()[0] in said.out and f"usage: python -m {door}" in said.out
    assert said.err == "" and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("door", DOORS)
def test_unknown_arguments_are_refused_in_one_line(
    door: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_door(door, ["--no-such-option"], monkeypatch) == 2
    said = capsys.readouterr()
    name = door.split(".")[1]
    assert said.err.startswith(f"{name}: error: ") and said.err.count("\n") == 1
    assert f"python -m {door} --help" in said.err and "--no-such-option" in said.err
    assert said.out == "" and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("door", DOORS)
def test_errors_are_one_line_with_its_name(
    door: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # where there is nothing
    arguments = {"tools.predict": ["nothing.jpg"]}.get(door, [])
    assert run_door(door, arguments, monkeypatch) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"{door.split('.')[1]}: error: ") and said.err.count("\n") == 1
    assert ": no such " in said.err


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


def test_a_closed_pipe_ends_a_tool_quietly() -> None:
    ended = closed_early(ROOT, "tools.summary")
    assert (ended.returncode, ended.stderr) == (141, "")


@pytest.mark.slow
def test_a_closed_pipe_ends_a_training_quietly(project: Path) -> None:
    set_params(project, train__epochs=3)
    ended = closed_early(project, "stages.train_unet")
    assert (ended.returncode, ended.stderr) == (141, "")
    finished = run_stage(project, "train_unet")
    assert finished.returncode == 0 and "epoch 3/3" in finished.stdout
