"""The file that a stopped training goes on from; tests/test_resume.py stops real ones."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile import Hostile

from segmentation.common.errors import Fault
from segmentation.training.resume import FORGOTTEN_S, States, differences

INPUTS = {"train.lr": 0.1, "data/split.json": "a" * 64, "augment.scale": [0.8, 1.2]}
STATE: dict[str, Any] = {
    "weights": torch.arange(100_000.0),
    "rows": [{"epoch": 1, "val_dice": 0.1 + 0.2}],
    "none": None,
}

HOLDER = """
import sys; from pathlib import Path; from segmentation.training.resume import States
with States("unet", {}, Path(sys.argv[1])).held():
    print("held", flush=True)
    sys.stdin.read()
"""


def states(folder: Path, **changes: object) -> States:
    return States("unet", INPUTS | changes, folder)


def test_what_is_saved_is_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = states(tmp_path / "deep/folder")
    with mine.held():
        assert mine.load() is None
        mine.save(STATE, 1)
        mine.save(STATE, 2)
    with mine.held():
        loaded = states(tmp_path / "deep/folder").load()
    assert loaded is not None and torch.equal(loaded["weights"], STATE["weights"])
    assert loaded["rows"] == STATE["rows"] and loaded["none"] is None
    assert [path.suffix for path in mine.folder.iterdir()] == [".state"]
    with mine.held():
        mine.discard()
    assert list(mine.folder.iterdir()) == []
    assert capsys.readouterr().err == ""


@pytest.mark.fault("a state file that is torn or has a wrong bit")
def test_every_damage_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rounds: Callable[[int], None]
) -> None:
    mine, draw = states(tmp_path), random.Random(0)
    mine.save(STATE, 1)
    whole = mine.path.read_bytes()
    damages = [whole[: draw.randrange(len(whole))] for _ in range(100)] + [b"", whole[:-1], b"hello\n"]
    for position in [0, 1, len(whole) - 1, *(draw.randrange(len(whole)) for _ in range(100))]:
        flipped = bytearray(whole)
        flipped[position] ^= 1 << draw.randrange(8)
        damages.append(bytes(flipped))
    for damaged in damages:
        mine.path.write_bytes(damaged)
        assert mine.load() is None
        aside = mine.path.with_suffix(".damaged")
        assert aside.read_bytes() == damaged and not mine.path.exists()
        line = f"unet: {mine.path} is damaged: set aside as {aside.name}; training starts afresh\n"
        assert capsys.readouterr().err == line
    rounds(len(damages))


@pytest.mark.fault("a file whose pickle would run code")
def test_a_state_runs_no_code(tmp_path: Path) -> None:
    mine = states(tmp_path)
    mine.save({"hostile": Hostile(tmp_path / "proof")}, 1)
    assert mine.load() is None and not (tmp_path / "proof").exists()


@pytest.mark.parametrize(
    "changes",
    [{"train.lr": 0.2}, {"data/split.json": "b" * 64}, {"augment.scale": [1.2, 0.8]}, {"new": 1}],
    ids=str,
)
def test_another_training_has_another_state(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, object]
) -> None:
    states(tmp_path).save(STATE, 3)
    other = states(tmp_path, **changes)
    assert other.load() is None
    said = capsys.readouterr().err
    assert said.startswith("unet: starts afresh; the training that stopped after epoch 3 (")
    assert next(iter(changes)) in said and len(said.splitlines()) == 1
    other.save(STATE, 1)
    assert len(list(tmp_path.glob("*.state"))) == 2
    assert States("resnet", INPUTS, tmp_path).load() is None
    assert capsys.readouterr().err == ""  # another network is no surprise


def test_differences() -> None:
    assert differences(INPUTS, INPUTS) == []
    assert differences(INPUTS, INPUTS | {"train.lr": 0.2}) == ["train.lr 0.1 -> 0.2"]
    assert differences(INPUTS, INPUTS | {"data/split.json": "b" * 64}) == ["another data/split.json"]
    assert differences({"a": 1}, {"b": 2}) == ["b None -> 2", "a 1 -> None"]


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of the training of no inputs."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_holder_is_named(
    holder: subprocess.Popen[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segmentation.training.resume.GRACE_S", 0.2)
    mine = States("unet", {}, tmp_path)
    with pytest.raises(
        Fault, match=rf"^process {holder.pid} on \S+, in {Path.cwd()} \(.*at this very training"
    ):
        mine.held().__enter__()
    mine.lock.write_text("hello")
    with pytest.raises(Fault, match=r"another process, which holds .*\.lock, is at this very training"):
        mine.held().__enter__()
    holder.kill()
    holder.wait()
    assert mine.lock.exists()  # the lock of a process that is gone is none
    with mine.held():
        assert json.loads(mine.lock.read_text())["pid"] == os.getpid()
    assert not mine.lock.exists()


def test_what_others_hold_is_not_what_was_stopped(
    tmp_path: Path, holder: subprocess.Popen[str], capsys: pytest.CaptureFixture[str]
) -> None:
    States("unet", {}, tmp_path).save(STATE, 1)
    assert states(tmp_path).load() is None
    assert capsys.readouterr().err == ""


def test_forgotten_states_are_deleted(tmp_path: Path) -> None:
    old, recent = time.time() - FORGOTTEN_S - 60, time.time() - FORGOTTEN_S + 600
    for name, when in (
        ("a.state", old),
        (".a.state.tmp-x-1-y", old),
        ("a.damaged", old),
        ("b.state", recent),
    ):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (when, when))
    with states(tmp_path).held():
        assert len(list(tmp_path.iterdir())) == 2  # and the lock
    assert [path.name for path in tmp_path.iterdir()] == ["b.state"]
