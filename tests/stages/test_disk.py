"""A full disk and folders that cannot be written: one line, exit status 1, and what was there is intact."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from content import digests
from on_a_small_disk import READ_ONLY, SCRIPT, mounts_work
from projects import copied

# Each stage, a folder it writes to, and how much of a disk it needs there beside what is there.
NEEDS = {
    ("download", "data"): 3_000_000,
    ("split", "data"): 4096,
    ("compute_stats", "data"): 4096,
    ("train_unet", "metrics/plots"): 4096,
    ("train_unet", "checkpoints"): 40_000,
    ("train_resnet", "metrics"): 4096,
    ("evaluate", "metrics/plots"): 200_000,
    ("evaluate", "metrics"): 200_000,
}


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not mounts_work(), reason="needs unshare and mount"),
]


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    return copied(finished, tmp_path)


def assert_one_line(status: int, stderr: str, stage: str, *named: str) -> None:
    assert status == 1, stderr
    assert len(stderr.splitlines()) == 1 and stderr.startswith(f"{stage}: error: "), stderr
    assert all(each in stderr for each in named), stderr


def read_only(project: Path, stage: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["unshare", "-rm", "sh", "-c", READ_ONLY, "sh", str(folder)]
    return subprocess.run(
        [*command, sys.executable, "-m", f"stages.{stage}"],
        cwd=project, capture_output=True, text=True, timeout=300, env=os.environ,
    )  # fmt: skip


@pytest.mark.fault("a folder that cannot be written")
@pytest.mark.parametrize(
    ("stage", "folder"),
    [
        ("download", "data"),
        ("train_unet", "checkpoints"),
        ("train_unet", "runs"),
        ("evaluate", "metrics/plots"),
    ],
)
def test_a_read_only_folder(project: Path, stage: str, folder: str) -> None:
    before = digests(project / folder)
    finished = read_only(project, stage, project / folder)
    assert_one_line(finished.returncode, finished.stderr, stage, "Read-only file system", folder)
    assert digests(project / folder) == before


@pytest.mark.fault("a folder that cannot be written")
def test_a_read_only_home(project: Path, states: Path) -> None:
    states.mkdir(parents=True)
    finished = read_only(project, "train_unet", states)
    assert_one_line(
        finished.returncode, finished.stderr, "train_unet", "Read-only", str(states), "set XDG_STATE_HOME"
    )


def small_disk(project: Path, stage: str, folder: Path, room: int) -> dict[str, Any]:
    script = [sys.executable, str(SCRIPT)]
    finished = subprocess.run(
        ["unshare", "-rm", *script, str(folder), str(room), sys.executable, "-m", f"stages.{stage}"],
        cwd=project, capture_output=True, text=True, timeout=300, env=os.environ,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    ended: dict[str, Any] = json.loads(finished.stdout)
    return ended


def assert_intact(ended: dict[str, Any], stage: str) -> None:
    """Nothing is half there: each file is the old one, or a whole new one (of a finished epoch)."""
    assert set(ended["after"]) == set(ended["before"])
    changed = {name for name in ended["before"] if ended["after"][name] != ended["before"][name]}
    assert changed <= {f"plots/{stage}.csv"}


@pytest.mark.fault("a full disk")
@pytest.mark.parametrize(("stage", "folder"), NEEDS)
def test_a_full_disk(project: Path, stage: str, folder: str) -> None:
    """The last page that the stage would need is missing."""
    ended = small_disk(project, stage, project / folder, NEEDS[stage, folder] - 4096)
    assert_one_line(ended["status"], ended["stderr"], stage, "No space left on device", folder)
    assert_intact(ended, stage)


@pytest.mark.fault("a full disk")
def test_no_room_for_the_state(project: Path, states: Path) -> None:
    states.mkdir(parents=True)
    ended = small_disk(project, "train_unet", states, 100_000)
    assert_one_line(ended["status"], ended["stderr"], "train_unet", "No space left on device", ".state")
    assert ended["after"] == ended["before"]


@pytest.mark.fault("a full disk")
def test_no_room_for_the_log(project: Path) -> None:
    ended = small_disk(project, "train_unet", project / "runs", 4096)
    assert_one_line(ended["status"], ended["stderr"], "train_unet", "No space left on device", "runs")
