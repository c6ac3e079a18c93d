"""Several runs at once, runs in the queue, and the same run on another machine, all under the real DVC."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import yaml
from commands import dvc, dvc_environment, ran, start_queue
from content import flipped
from projects import TRAINING, copied, git, set_params

pytestmark = pytest.mark.slow


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    return copied(finished, tmp_path)


def start(project: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["dvc", *arguments], cwd=project, env=dvc_environment(), start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.mark.fault("two `dvc repro -s` at once")
def test_both_networks_train_side_by_side(project: Path, states: Path) -> None:
    set_params(project, train__seed=5)
    both = [start(project, "repro", "-s", stage) for stage in ("train_unet", "train_resnet")]
    said = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert ran("".join(said)) == TRAINING[:2] or ran("".join(said)) == TRAINING[1::-1]
    assert ran(dvc(project, "repro")) == ["evaluate"]
    assert list(states.iterdir()) == []


@pytest.mark.fault("kill -9 under `dvc repro`, the same command again")
@pytest.mark.parametrize(
    "command", [["repro"], ["exp", "run", "-S", "train.epochs=30"]], ids=["repro", "exp run"]
)
def test_killed_under_dvc(project: Path, states: Path, command: list[str]) -> None:
    set_params(project, train__epochs=30)
    process = start(project, *command)
    wait_for(lambda: list(states.glob("unet-*.state")) != [], lambda: "no state")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    output = dvc(project, *command)
    assert "unet: resuming after epoch" in output
    assert list(states.glob("*")) == []
    by_resuming = (project / "metrics/test.json").read_bytes()
    dvc(project, "repro", "--force", "--no-run-cache", "-s", "train_unet")
    assert ran(dvc(project, "repro")) == []  # the same bytes: nothing after it has to run
    assert (project / "metrics/test.json").read_bytes() == by_resuming


def wait_for(condition: Callable[[], bool], say: Callable[[], str], pause: float = 0.2) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, say()
        time.sleep(pause)


def wait_for_queue(project: Path, text: str, count: int = 1) -> None:
    """Wait until the queue's status says this; to ask costs a process, so not too often."""
    wait_for(lambda: status(project).count(text) >= count, lambda: status(project), pause=3)


def status(project: Path) -> str:
    return dvc(project, "queue", "status")


@pytest.fixture
def queue(project: Path) -> Iterator[Path]:
    yield project
    dvc(project, "queue", "stop", "--kill")
    wait_for_queue(project, "0 active, 0 idle")


@pytest.mark.fault("two queue workers at once")
def test_two_queue_workers(queue: Path, states: Path) -> None:
    for lr in ("1e-3", "0.00001"):
        dvc(queue, "exp", "run", "--queue", "-S", f"train.lr={lr}", "--name", f"lr-{lr.replace('.', '_')}")
    assert status(queue).count("Queued") == 2
    start_queue(queue, workers=2)
    wait_for_queue(queue, "Success", 2)
    table = dvc(queue, "exp", "show", "--only-changed", "--md")
    assert "lr-1e-3" in table and "1e-05" in table
    runs = " ".join(each.name for each in (queue / "runs/unet").iterdir())
    assert "_lr0.001_" in runs and "_lr1e-05_" in runs  # not in the copies that the queue deletes
    assert list(states.iterdir()) == []


@pytest.mark.fault("kill -9 of a queued task, then killed, removed and queued again as experiments.md says")
def test_a_queued_task_is_resumed(queue: Path, states: Path) -> None:
    command = ["exp", "run", "--queue", "-S", "train.epochs=60", "--name", "long"]
    dvc(queue, *command)
    start_queue(queue)
    wait_for(lambda: list(states.glob("unet-*.state")) != [], lambda: status(queue))
    holder = int(next(states.glob("unet-*.lock")).read_text())
    task = psutil.Process(holder)
    for process in [task, *task.parents()[:1]]:  # the training and the DVC that runs it
        process.kill()
    wait_for(lambda: not psutil.pid_exists(holder), lambda: "the training is still running")
    kill = ["dvc", "queue", "kill", "--force", "long"]  # which fails if the queue has seen it already
    subprocess.run(kill, cwd=queue, env=dvc_environment(), timeout=300)
    dvc(queue, "queue", "remove", "long")
    dvc(queue, *command)
    start_queue(queue)
    wait_for_queue(queue, "Success")
    assert "unet: resuming after epoch" in dvc(queue, "queue", "logs", "long")


@pytest.fixture
def clone(project: Path, tmp_path: Path) -> Path:
    """A clone elsewhere, after a push to a remote, which is a folder here."""
    dvc(project, "remote", "add", "-d", "storage", str(tmp_path / "remote"))
    git(project, "commit", "-qam", "remote")
    dvc(project, "push")
    subprocess.run(["git", "clone", "-q", str(project), str(tmp_path / "clone")], check=True)
    return tmp_path / "clone"


def objects(folder: Path, project: Path) -> Path:
    """Where a store keeps the checkpoint of U-Net."""
    (out,) = yaml.safe_load((project / "dvc.lock").read_text())["stages"]["train_unet"]["outs"][:1]
    return folder / "files/md5" / out["md5"][:2] / out["md5"][2:]


def corrupt(path: Path) -> None:
    path.chmod(0o644)
    data = flipped(path.read_bytes())
    path.unlink()
    path.write_bytes(data)


@pytest.mark.fault("a remote: push, clone elsewhere, pull, a corrupted object")
def test_a_corrupted_object(project: Path, clone: Path, tmp_path: Path) -> None:
    corrupt(objects(tmp_path / "remote", clone))
    refused = dvc(clone, "pull", status=1)
    assert "Missing cache files" in refused and "checkpoints/unet.pt" in refused
    assert not (clone / "checkpoints/unet.pt").exists()  # a corrupted object is never checked out
    dvc(project, "push")  # from a machine that has it
    dvc(clone, "pull")
    assert ran(dvc(clone, "repro")) == []


@pytest.mark.fault("a remote: push, clone elsewhere, pull, a corrupted object")
def test_a_corrupted_object_without_a_remote(project: Path) -> None:
    expected = (project / "checkpoints/unet.pt").read_bytes()
    corrupt(objects(project / ".dvc/cache", project))
    (project / "checkpoints/unet.pt").unlink()
    assert ran(dvc(project, "repro")) == ["train_unet"]
    assert (project / "checkpoints/unet.pt").read_bytes() == expected
