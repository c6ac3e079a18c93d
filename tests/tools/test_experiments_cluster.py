"""Questions asked of a Slurm that is this machine alone: real tasks, in real clones."""

import copy
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
from fake_slurm import install
from projects import git
from test_experiments import TINY, rows

pytestmark = pytest.mark.slow


@pytest.fixture
def shared(project: Path, tmp_path: Path) -> Path:
    """A project with a remote, and a question that needs two runs; all is committed."""
    question: dict[str, Any] = copy.deepcopy(TINY)
    question["budget"]["train.epochs"] = 40
    (project / "experiments/tiny.yaml").write_text(yaml.safe_dump(question))
    dvc(project, "remote", "add", "-d", "storage", str(tmp_path / "storage"))
    git(project, "add", "-A")
    git(project, "commit", "-qm", "question and remote")
    (tmp_path / "scratch").mkdir()
    return project


def ask(project: Path, slurm: Path) -> subprocess.Popen[str]:
    """Start both tasks at once."""
    environment = dvc_environment() | {"TMPDIR": str(project.parent / "scratch")}
    return subprocess.Popen(
        [sys.executable, "-m", "tools.experiments", "run", "experiments/tiny.yaml", "--launcher", "slurm"],
        cwd=project, env=environment | install(slurm, environment["PATH"]),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def tasks_of(asking: subprocess.Popen[str], states: Path, slurm: Path) -> list[psutil.Process]:
    """Wait until both tasks have saved their trainings; return the scripts that Slurm started."""
    deadline = time.monotonic() + 120
    while len(list(states.glob("unet-*.state"))) < 2:
        assert time.monotonic() < deadline and asking.poll() is None
        time.sleep(0.1)
    return [psutil.Process(int(path.read_text())) for path in sorted(slurm.glob("*.pid"))]


def test_a_task_is_killed_and_another_one_runs_out_of_time(
    shared: Path, tmp_path: Path, states: Path
) -> None:
    logs = shared / ".dvc/tmp/experiments"
    asking = ask(shared, tmp_path / "slurm")
    one, other = tasks_of(asking, states, tmp_path / "slurm")
    (task,) = other.children()
    task.send_signal(signal.SIGUSR2)  # as Slurm does before the time is over
    for process in [one, *one.children(recursive=True)]:
        process.kill()
    out, error = asking.communicate(timeout=240)
    assert asking.returncode == 1 and error.startswith("experiments: error: 1 runs failed; "), error
    assert "2 runs, 2 missing" in out and out.count("submitted as") == 2
    (failed,) = [line for line in out.splitlines() if line.endswith(".log")]
    assert "has not produced any output" in (shared / failed.split(": ")[-1]).read_text()
    resumed = [log for log in logs.glob("tiny-*.log") if "unet: resuming after epoch" in log.read_text()]
    assert len(resumed) == 1 and len(rows(shared)) == 2  # both networks of the one that was started again
    assert "1 of 2 runs" in (shared / "experiments/results/tiny.md").read_text()

    asking = ask(shared, tmp_path / "slurm2")
    out, error = asking.communicate(timeout=240)
    assert asking.returncode == 0 and not error and "2 runs, 1 missing" in out, error
    assert sorted((row["seed"], row["network"]) for row in rows(shared)) == [
        (seed, network) for seed in "01" for network in ("resnet", "unet")
    ]
    assert {path.name for path in (tmp_path / "scratch").glob("tiny-*")} == {
        path.name for path in (tmp_path / "scratch").glob(f"{failed.split(':')[0]}-*")
    }  # only the killed task has left its clone

    elsewhere = tmp_path / "elsewhere"
    git(tmp_path, "clone", "-q", str(shared), str(elsewhere))
    dvc(elsewhere, "exp", "pull", "origin", "-A")
    (name,) = [line.split(":")[0] for line in out.splitlines() if "submitted as" in line]
    dvc(elsewhere, "exp", "apply", name)
    assert {path.name for path in (elsewhere / "checkpoints").glob("*.pt")} == {"unet.pt", "resnet.pt"}


def test_when_stopped_it_cancels_its_tasks(shared: Path, tmp_path: Path, states: Path) -> None:
    asking = ask(shared, tmp_path / "slurm")
    started = tasks_of(asking, states, tmp_path / "slurm")
    everything = [process for task in started for process in [task, *task.children(recursive=True)]]
    os.kill(asking.pid, signal.SIGTERM)
    _, error = asking.communicate(timeout=60)
    assert asking.returncode == 143 and "Traceback" not in error
    _, alive = psutil.wait_procs(everything, timeout=30)
    assert not alive and not list((shared.parent / "scratch").glob("tiny-*"))
    assert not list((shared / ".dvc/tmp/experiments/jobs").glob("*.json"))


def test_if_it_is_killed_the_tasks_run_on_and_the_next_call_collects_them(
    shared: Path, tmp_path: Path, states: Path
) -> None:
    asking = ask(shared, tmp_path / "slurm")
    tasks_of(asking, states, tmp_path / "slurm")
    asking.kill()
    asking.communicate()
    asking = ask(shared, tmp_path / "slurm")
    out, error = asking.communicate(timeout=240)
    assert asking.returncode == 0 and not error, error
    assert out.count("of an earlier call") == 2 and "submitted as" not in out and len(rows(shared)) == 4


def test_what_a_clone_would_lack_is_one_line(
    project: Path, run_here: RunHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", dvc_environment()["PATH"])
    (project / "experiments/tiny.yaml").write_text(yaml.safe_dump(TINY))

    def refused(*options: str) -> str:
        ended = run_here(project, "tools.experiments", "run", "experiments/tiny.yaml", *options)
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
    assert "allowed: KEY=VALUE or KEY" in refused(*slurm, "--sbatch", "=gpu")
    assert "--sbatch: only with --launcher" in refused("--sbatch", "partition=gpu")
    assert "at least 1" in refused(*slurm, "--at-once", "0")
