"""Questions asked through submitit's executor for this machine: real tasks, in real clones."""

import copy
import json
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
import submitit
import yaml
from commands import RunHere, dvc, dvc_environment
from projects import git
from test_experiments import TINY, rows

from segmentation.experiments.launching import Cluster, id_of, result_of
from segmentation.experiments.plan import Run
from segmentation.experiments.results import RunScores
from segmentation.experiments.running import Experiment

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


def ask(project: Path) -> subprocess.Popen[str]:
    """Start both tasks at once."""
    return subprocess.Popen(
        [sys.executable, "-m", "tools.experiments", "run", "experiments/tiny.yaml", "--launcher", "local"],
        cwd=project, env=dvc_environment() | {"TMPDIR": str(project.parent / "scratch")},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def tasks_of(asking: subprocess.Popen[str], states: Path) -> list[psutil.Process]:
    """Wait until both tasks have saved their trainings; return the processes that submitit started."""
    deadline = time.monotonic() + 120
    while len(list(states.glob("unet-*.state"))) < 2:
        assert time.monotonic() < deadline and asking.poll() is None
        time.sleep(0.1)
    return psutil.Process(asking.pid).children()


def test_a_task_is_killed_and_another_one_runs_out_of_time(
    shared: Path, tmp_path: Path, states: Path
) -> None:
    logs = shared / ".dvc/tmp/experiments"
    asking = ask(shared)
    one, other = tasks_of(asking, states)
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

    asking = ask(shared)
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


def test_when_stopped_it_cancels_its_tasks(shared: Path, states: Path) -> None:
    asking = ask(shared)
    started = tasks_of(asking, states)
    everything = [process for task in started for process in [task, *task.children(recursive=True)]]
    os.kill(asking.pid, signal.SIGTERM)
    _, error = asking.communicate(timeout=60)
    assert asking.returncode == 143 and "Traceback" not in error
    _, alive = psutil.wait_procs(everything, timeout=30)
    assert not alive and not list((shared.parent / "scratch").glob("tiny-*"))
    assert not list((shared / ".dvc/tmp/experiments/jobs").glob("*.json"))


def test_a_result_of_an_earlier_call_is_collected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = Experiment("tiny-1", Run("1", {}), "c0de", "")
    scores = RunScores([{"run": "1"}], [{"id": "a"}])
    job = submitit.LocalExecutor(tmp_path / "earlier").submit(scores._replace)
    assert job.result() == scores
    monkeypatch.chdir(tmp_path)
    where = {"launcher": "local", "folder": str(tmp_path / "earlier"), "id": job.job_id}
    id_of(experiment).parent.mkdir(parents=True)
    id_of(experiment).write_text(json.dumps(where))
    left = Cluster("local", 1, 1).left(experiment)
    assert left and left.job_id == job.job_id and result_of(left, experiment) == scores
    assert Cluster("slurm", 1, 1).left(experiment) is None  # ids of the other kind mean something else


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
