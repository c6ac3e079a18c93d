"""Questions asked of real runs under the real DVC."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from commands import RunHere, dvc_environment

TINY = {
    "base": "lab_report",
    "budget": {
        "data.source": "sample",
        "data.limit": 16,
        "image.size": 32,
        "model.width": 2,
        "train.epochs": 2,
        "evaluate.bootstrap": 100,
        "evaluate.resolution": "network",
    },
    "seeds": [0, 1],
    "questions": [{"question": "Which one?", "networks": ["unet", "resnet"], "arms": {"all": {}}}],
}


def rows(project: Path) -> list[dict[str, str]]:
    path = project / "experiments/results/tiny.csv"
    return list(csv.DictReader(path.open())) if path.exists() else []


def ask(project: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tools.experiments", "run", "experiments/tiny.yaml"],
        cwd=project, env=dvc_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_a_grid_that_was_cut_short_goes_on_where_it_stopped(project: Path) -> None:
    """It is stopped in the second of two runs, with uncommitted work in the project, which stays as it is."""
    (project / "experiments/tiny.yaml").write_text(yaml.safe_dump(TINY))
    (project / "docs/log.md").write_text("my work")
    asking = ask(project)
    deadline = time.monotonic() + 240
    while not rows(project):
        assert time.monotonic() < deadline and asking.poll() is None
        time.sleep(0.5)
    time.sleep(1)  # the second one is being prepared: DVC moves uncommitted work aside
    os.kill(asking.pid, signal.SIGTERM)
    out, error = asking.communicate(timeout=60)
    assert asking.returncode == 143 and "2 runs, 2 missing" in out and "Traceback" not in error
    assert (project / "docs/log.md").read_text() == "my work"
    asked = {"stash": ["stash", "list"], "branch": ["branch", "--show-current"]}
    said = {
        key: subprocess.run(["git", *command], cwd=project, capture_output=True, text=True).stdout.strip()
        for key, command in asked.items()
    }
    assert said["stash"] == "" and said["branch"] in ("main", "master")
    assert len(rows(project)) == 2  # both networks of the first run

    asking = ask(project)
    out, error = asking.communicate(timeout=300)
    assert asking.returncode == 0, error
    assert (
        "2 runs, 1 missing" in out and "1 of 1: tiny-" in out and "  log: .dvc/tmp/experiments/tiny-" in out
    )
    assert [(row["seed"], row["network"]) for row in rows(project)] == [
        (seed, network) for seed in "01" for network in ("unet", "resnet")
    ]
    page = (project / "experiments/results/tiny.md").read_text()
    assert "2 runs of all networks" in page and "| Which one? | ResNet34-UNet minus U-Net | 2 |" in page

    before = {path: path.read_bytes() for path in (project / "experiments/results").iterdir()}
    asking = ask(project)
    out, error = asking.communicate(timeout=60)
    assert asking.returncode == 0 and "2 runs, 0 missing" in out
    assert {path: path.read_bytes() for path in before} == before


def test_a_file_that_is_none_is_one_line(project: Path, run_here: RunHere) -> None:
    ended = run_here(project, "tools.experiments", "run", "experiments/none.yaml")
    assert (
        ended.status == 2
        and ended.stderr == "experiments: error: experiments/none.yaml: No such file or directory\n"
    )
    ended = run_here(project, "tools.experiments", "run", "experiments/lab_report.yaml", "-S", "train.lr=1")
    assert ended.status == 2 and "can be set here" in ended.stderr and len(ended.stderr.splitlines()) == 1
