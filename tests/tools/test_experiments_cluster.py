"""Questions asked through submitit's executor for this machine: real tasks, in real clones."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from commands import RunHere, dvc, dvc_environment
from projects import git
from test_experiments import TINY

pytestmark = pytest.mark.slow


@pytest.fixture
def shared(project: Path, tmp_path: Path) -> Path:
    """A project with a remote and two questions' runs to do; all is committed."""
    (project / "experiments/tiny.yaml").write_text(yaml.safe_dump(TINY))
    dvc(project, "remote", "add", "-d", "storage", str(tmp_path / "storage"))
    git(project, "add", "-A")
    git(project, "commit", "-qm", "question and remote")
    (tmp_path / "scratch").mkdir()
    return project


def ask(project: Path) -> subprocess.Popen[str]:
    """Start both tasks at once."""
    return subprocess.Popen(
        [sys.executable, "-m", "tools.experiments", "run", "experiments/tiny.yaml", "--launcher", "local"],
        cwd=project, env=dvc_environment() | {"TMPDIR": str(project.parent / "scratch")},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def tasks_of(asking: subprocess.Popen[str], logs: Path) -> list[psutil.Process]:
    """Wait until both tasks train; return the processes that submitit started for them."""
    deadline = time.monotonic() + 120
    while sum("Running stage 'train_" in log.read_text() for log in logs.glob("tiny-*.log")) < 2:
        assert time.monotonic() < deadline and asking.poll() is None
        time.sleep(0.2)
    return psutil.Process(asking.pid).children()


def kill(processes: list[psutil.Process]) -> None:
    for each in processes:
        each.kill()


def rows(project: Path) -> list[dict[str, Any]]:
    return list(csv.DictReader((project / "experiments/results/tiny.csv").open()))


def test_a_killed_task_is_taken_up_again(shared: Path, tmp_path: Path) -> None:
    logs = shared / ".dvc/tmp/experiments"
    asking = ask(shared)
    first, _ = tasks_of(asking, logs)
    kill([first, *first.children(recursive=True)])
    out, error = asking.communicate(timeout=240)
    assert asking.returncode == 1 and error.startswith("experiments: error: 1 runs failed; "), error
    assert "2 runs, 2 missing" in out and out.count("submitted as") == 2
    (failed,) = [line for line in out.splitlines() if line.endswith(".log")]
    assert "has not produced any output" in Path(shared / failed.split(": ")[-1]).read_text()
    assert len(rows(shared)) == 2  # both networks of the other one

    asking = ask(shared)
    out, error = asking.communicate(timeout=240)
    assert asking.returncode == 0 and not error and "2 runs, 1 missing" in out, error
    assert sorted((row["seed"], row["network"]) for row in rows(shared)) == [
        (seed, network) for seed in "01" for network in ("resnet", "unet")
    ]

    elsewhere = tmp_path / "elsewhere"
    git(tmp_path, "clone", "-q", str(shared), str(elsewhere))
    dvc(elsewhere, "exp", "pull", "origin", "-A")
    (name,) = [line.split(":")[0] for line in out.splitlines() if "submitted as" in line]
    dvc(elsewhere, "exp", "apply", name)
    assert {path.name for path in (elsewhere / "checkpoints").glob("*.pt")} == {"unet.pt", "resnet.pt"}


def test_when_stopped_it_cancels_its_tasks(shared: Path) -> None:
    asking = ask(shared)
    started = tasks_of(asking, shared / ".dvc/tmp/experiments")
    everything = [each for task in started for each in [task, *task.children(recursive=True)]]
    os.kill(asking.pid, signal.SIGTERM)
    _, error = asking.communicate(timeout=60)
    assert asking.returncode == 143 and "Traceback" not in error
    _, alive = psutil.wait_procs(everything, timeout=30)
    assert not alive


def test_what_a_clone_would_lack_is_one_line(project: Path, run_here: RunHere) -> None:
    def refused(*options: str) -> str:
        ended = run_here(project, "tools.experiments", "run", "experiments/lab_report.yaml", *options)
        assert ended.stderr.count("\n") == 1
        return f"{ended.status}: {ended.stderr}"

    slurm = ("--launcher", "slurm")
    assert "no DVC remote" in refused(*slurm)
    dvc(project, "remote", "add", "-d", "storage", "../storage")
    assert ".dvc/config: commit it first" in refused(*slurm)
    git(project, "commit", "-qam", "remote")
    if not shutil.which("srun"):
        assert "1: experiments: error: slurm: cannot submit" in refused(*slurm)
    (project / "segmentation/more.py").write_text("")
    assert "2: experiments: error: segmentation/more.py: commit it first" in refused(*slurm)
    assert "must be KEY=VALUE" in refused(*slurm, "--sbatch", "partition")
    assert "at least 1" in refused(*slurm, "--at-once", "0")
