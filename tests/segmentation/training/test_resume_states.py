"""The file from which a stopped training resumes; tests/stages/test_resume.py stops real ones."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from content import flipped
from hostile import Hostile

from segmentation.common.errors import Fault
from segmentation.common.leaves import differences
from segmentation.training.resume import ABANDONED_S, ResumeState

FINGERPRINT = {"train.lr": 0.1, "data/split.json": "a" * 64, "augment.scale": [0.8, 1.2]}
STATE: dict[str, Any] = {
    "weights": torch.arange(100_000.0),
    "history": [{"epoch": 1, "val_dice": 0.1 + 0.2}],
    "none": None,
}

HOLDER = """
import sys; from pathlib import Path; from segmentation.training.resume import ResumeState
with ResumeState("unet", {}, Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def make_state(folder: Path, **changes: object) -> ResumeState:
    return ResumeState("unet", FINGERPRINT | changes, folder)


def test_what_is_saved_is_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = make_state(tmp_path / "deep/folder")
    with mine.locked():
        assert mine.load() is None
        mine.save(STATE)
        mine.save(STATE)
    with mine.locked():
        loaded = make_state(tmp_path / "deep/folder").load()
    assert loaded is not None and torch.equal(loaded["weights"], STATE["weights"])
    assert loaded["history"] == STATE["history"] and loaded["none"] is None
    assert [path.suffix for path in mine.folder.iterdir()] == [".state"]
    with mine.locked():
        mine.discard()
    assert list(mine.folder.iterdir()) == []
    assert capsys.readouterr().err == ""


@pytest.mark.fault("a state file that is torn or has a wrong bit")
def test_every_damage_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine, draw = make_state(tmp_path), random.Random(0)
    mine.save(STATE)
    whole = mine.path.read_bytes()
    damages = [whole[: draw.randrange(len(whole))] for _ in range(100)] + [b"", whole[:-1], b"hello\n"]
    for position in [0, 1, len(whole) - 1, *(draw.randrange(len(whole)) for _ in range(100))]:
        damages.append(flipped(whole, position, draw.randrange(8)))
    harmless = 0
    for damaged in damages:
        mine.path.write_bytes(damaged)
        if loaded := mine.load():  # padding between the parts, or a time
            harmless += 1
            assert torch.equal(loaded["weights"], STATE["weights"]) and loaded["history"] == STATE["history"]
            continue
        aside = mine.path.with_suffix(".damaged")
        assert aside.read_bytes() == damaged and not mine.path.exists()
        line = f"unet: {mine.path} is damaged: moved to {aside.name}; training starts from the beginning\n"
        assert capsys.readouterr().err == line
    assert harmless < 10


@pytest.mark.fault("a file whose pickle would run code")
def test_a_state_runs_no_code(tmp_path: Path) -> None:
    mine = make_state(tmp_path)
    mine.save({"hostile": Hostile(tmp_path / "proof")})
    assert mine.load() is None and not (tmp_path / "proof").exists()


@pytest.mark.parametrize(
    "changes",
    [{"train.lr": 0.2}, {"data/split.json": "b" * 64}, {"augment.scale": [1.2, 0.8]}, {"new": 1}],
    ids=str,
)
def test_another_training_has_another_state(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, object]
) -> None:
    make_state(tmp_path).save(STATE)
    other = make_state(tmp_path, **changes)
    assert other.load() is None
    said = capsys.readouterr().err
    assert said.startswith("unet: starts from the beginning; the latest unfinished training differs: ")
    assert next(iter(changes)) in said and len(said.splitlines()) == 1
    assert make_state(tmp_path, another=1).load() is None and capsys.readouterr().err == ""  # said once
    make_state(tmp_path).save(STATE)  # resumed, and stopped again
    assert make_state(tmp_path, another=1).load() is None and capsys.readouterr().err != ""
    other.save(STATE)
    assert len(list(tmp_path.glob("*.state"))) == 2
    assert ResumeState("resnet", FINGERPRINT, tmp_path).load() is None
    assert capsys.readouterr().err == ""  # of another network nothing is expected
    assert make_state(tmp_path, another=1).load() is None and capsys.readouterr().err != ""
    for state in (make_state(tmp_path), other):
        state.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_training_that_has_just_ended_is_not_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "unet-0123.state").symlink_to("gone")  # seen in the folder, not there to be read
    assert make_state(tmp_path).load() is None
    assert capsys.readouterr().err == "" and list(tmp_path.glob("*.said")) == []


def test_differences() -> None:
    assert differences(FINGERPRINT, FINGERPRINT) == ""
    assert differences(FINGERPRINT, FINGERPRINT | {"train.lr": 0.2}) == "train.lr 0.1 -> 0.2"
    other_split = FINGERPRINT | {"data/split.json": "b" * 64}
    assert differences(FINGERPRINT, other_split) == "another data/split.json"
    assert differences({"a": 1}, {"b": 2}) == "b None -> 2, a 1 -> None"


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of the training with an empty fingerprint."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_run_names_the_first(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    mine = ResumeState("unet", {}, tmp_path)
    with pytest.raises(Fault, match=rf"^process {holder.pid} runs this training; wait for its end"):
        mine.locked().__enter__()
    holder.kill()
    holder.wait()
    with mine.locked():  # the lock of a process that has ended does not count
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_state_of_another_version_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = tmp_path / "unet-0123.state"
    old.write_bytes(b'{"epochs": 3, "fingerprint": {}}\nwhatever')
    assert make_state(tmp_path).load() is None
    assert capsys.readouterr().err.endswith("differs: the version of this program\n") and old.exists()


def test_abandoned_states_are_deleted(tmp_path: Path) -> None:
    old, recent = time.time() - ABANDONED_S - 60, time.time() - ABANDONED_S + 600
    for name, when in (
        ("a.state", old),
        (".a.state.tmp-x-1-y", old),
        ("a.damaged", old),
        ("b.state", recent),
    ):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (when, when))
    with make_state(tmp_path).locked():
        assert len(list(tmp_path.iterdir())) == 2  # and the lock
    assert [path.name for path in tmp_path.iterdir()] == ["b.state"]
