"""Going back to the last commit, whatever was interrupted: real DVC, real signals."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from commands import RunHere, dvc_environment
from content import digests
from dvc.repo import Repo
from projects import copied, git, set_params

pytestmark = pytest.mark.slow

OF_THE_PIPELINE = ["params.yaml", "dvc.lock", "data", "checkpoints", "metrics"]
OWN = {  # what is not the pipeline's: edited and new files
    "README.md": "edited\n",
    "segmentation/experiments/page.py": "# edited\n",
    "dvc.yaml": None,
    "own.txt": "own\n",
    "metrics/own.txt": "own\n",
    "checkpoints/own.pt": "own\n",
}


class Moment(NamedTuple):
    """When a signal comes: where the log or the project shows it."""

    said: str = ""
    file: str = ""

    def has_come(self, project: Path, log: Path) -> bool:
        return self.said in log.read_text() and (project / self.file).exists()


PLANNED = Moment(file=".git/refs/exps/stash")  # edits are in git's stash, or are coming back from there
BEFORE = Moment("Running stage 'train_unet'")
EPOCH = Moment("unet: epoch")
BETWEEN = Moment("Running stage 'train_resnet'")


def to_all(process: subprocess.Popen[bytes], signum: int) -> None:
    os.killpg(process.pid, signum)


def to_dvc(process: subprocess.Popen[bytes], signum: int) -> None:
    process.send_signal(signum)


def to_stage(process: subprocess.Popen[bytes], signum: int) -> None:
    for child in psutil.Process(process.pid).children(recursive=True):
        child.send_signal(signum)


@pytest.fixture(scope="module")
def project(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with edits and files of one's own; each test leaves it as it was."""
    project = copied(finished, tmp_path_factory.mktemp("back"))
    for name, text in OWN.items():
        path = project / name
        path.write_text((path.read_text() if path.exists() else "") + (text or "# edited\n"))
    git(project, "add", "segmentation/experiments/page.py")
    return project


@pytest.fixture
def goes_back(project: Path, run_here: RunHere, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """Goes back, and checks that everything is then as before the test."""
    monkeypatch.setenv("PATH", dvc_environment()["PATH"])
    before = everything(project)

    def back() -> str:
        ended = run_here(project, "tools.back")
        assert ended.status == 0, ended.stderr
        if "`git stash pop`" in ended.stdout:
            if "edited" not in (project / "README.md").read_text():
                git(project, "stash", "apply", "-q")
            git(project, "stash", "drop", "-q")
        assert everything(project) == before
        assert (project / ".git/HEAD").read_text().startswith("ref: refs/heads/")
        staged = ["git", "diff", "--cached", "--name-only", "HEAD", "--", ".dvc", *OF_THE_PIPELINE]
        assert subprocess.check_output(staged, cwd=project) == b""
        with Repo(project) as repo:
            assert repo.status() == {}
        return ended.stdout

    return back


def everything(project: Path) -> dict[str, str]:
    """The digests of what the pipeline writes, and of one's own files."""
    roots = [project / name for name in (*OF_THE_PIPELINE, *OWN)]
    files = [path for root in roots for path in [root, *root.rglob("*")] if path.is_file()]
    return digests(project, [str(path.relative_to(project)) for path in files if ".tmp" not in path.name])


@pytest.mark.fault("`make back` after a signal to DVC, its stage, or both")
@pytest.mark.parametrize(
    ("command", "moment", "to", "signum"),
    [
        ("exp run", PLANNED, to_all, signal.SIGKILL),
        ("exp run", BEFORE, to_all, signal.SIGTERM),
        ("exp run", BEFORE, to_stage, signal.SIGKILL),
        ("exp run", EPOCH, to_all, signal.SIGINT),
        ("exp run", EPOCH, to_dvc, signal.SIGKILL),
        ("exp run", BETWEEN, to_dvc, signal.SIGTERM),
        ("repro", BEFORE, to_dvc, signal.SIGTERM),
        ("repro", EPOCH, to_stage, signal.SIGTERM),
        ("repro", EPOCH, to_all, signal.SIGKILL),
        ("repro", BETWEEN, to_stage, signal.SIGINT),
    ],
)
def test_back_after_a_signal(
    project: Path,
    goes_back: Callable[[], str],
    tmp_path: Path,
    command: str,
    moment: Moment,
    to: Callable[[subprocess.Popen[bytes], int], None],
    signum: int,
) -> None:
    epochs = 3 if moment == BETWEEN else 2000
    arguments = ["-S", f"train.epochs={epochs}"] if command == "exp run" else []
    if command == "repro":
        set_params(project, train__epochs=epochs)
    log = tmp_path / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["dvc", *command.split(), *arguments],
            cwd=project, env=dvc_environment(), stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + 120
    while not moment.has_come(project, log):
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.001)
    to(process, signum)
    process.wait(60)
    said = goes_back()
    assert f"params.yaml: train.epochs 2 -> {epochs}\n" in said
    assert "discarded: " in said and "params.yaml" in said
    if moment == EPOCH:
        assert "discarded: checkpoints/unet.pt\n" in said


def test_back_from_edits_by_hand(project: Path, goes_back: Callable[[], str]) -> None:
    (project / "params.yaml").write_text("train: [\n")  # not even YAML
    (project / "dvc.lock").write_text("<<<<<<< HEAD\n")
    (project / "checkpoints/unet.pt").unlink()
    (project / "metrics/plots/gallery/own.jpg").write_text("inside an output")
    git(project, "add", "params.yaml", "dvc.lock")
    (project / ".git/refs/exps").mkdir(exist_ok=True)
    (project / ".git/refs/exps/stash.lock").touch()  # as after `kill -9` of DVC
    said = goes_back()
    assert "discarded: dvc.lock, params.yaml\n" in said
    assert "discarded: metrics/plots/gallery/\n" in said
    assert "discarded" not in goes_back()  # there is nothing left


def test_back_without_the_cache_says_what_is_missing(
    finished: Path, tmp_path: Path, run_here: RunHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", dvc_environment()["PATH"])
    git(tmp_path, "clone", "-q", str(finished), "project")
    git(tmp_path / "project", "checkout", "-q", "--detach")
    (tmp_path / "project/checkpoints/unet.pt").write_text("unfinished")
    ended = run_here(tmp_path / "project", "tools.back")
    assert ended.status == 0 and not (tmp_path / "project/checkpoints/unet.pt").exists()
    assert "not in DVC's cache: checkpoints/resnet.pt, checkpoints/unet.pt" in ended.stdout
    assert not (tmp_path / "project/.git/HEAD").read_text().startswith("ref:")  # one's own choice


def test_back_leaves_what_a_person_gave_to_dvc(
    finished: Path, tmp_path: Path, run_here: RunHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.defpath)  # the environment is not active
    git(tmp_path, "clone", "-q", str(finished), "project")
    project = tmp_path / "project"
    (project / "photos").mkdir()
    (project / "photos/first.txt").write_text("first")
    subprocess.run(["dvc", "add", "-q", "photos"], cwd=project, env=dvc_environment(), check=True)
    (project / "photos/second.txt").write_text("second")  # nowhere else
    pipeline = (project / "dvc.yaml").read_text()
    stage = "stages:\n  mine:\n    cmd: 'true'\n    outs: [mine.txt]\n"
    (project / "dvc.yaml").write_text(pipeline.replace("stages:\n", stage, 1))
    (project / "mine.txt").write_text("mine")
    ended = run_here(project, "tools.back")
    assert ended.status == 0 and "photos" not in ended.stdout, ended
    assert (project / "photos/second.txt").read_text() == "second"
    assert (project / "mine.txt").read_text() == "mine"


def test_back_does_not_disturb_what_runs(
    project: Path, goes_back: Callable[[], str], run_here: RunHere, tmp_path: Path
) -> None:
    set_params(project, train__epochs=2000)
    with (tmp_path / "log.txt").open("wb") as output:
        process = subprocess.Popen(
            ["dvc", "repro"], cwd=project, env=dvc_environment(), stdout=output, stderr=output
        )
    while "unet: epoch" not in (tmp_path / "log.txt").read_text():
        time.sleep(0.1)
    ended = run_here(project, "tools.back")
    assert ended.status == 2 and f"process {process.pid} is at work here" in ended.stderr
    said = run_here(project, "tools.report").stderr
    assert f"metrics/train_unet.json: no such file yet; DVC is running (process {process.pid})" in said
    process.kill()
    process.wait(60)
    ended = run_here(project, "tools.summary")
    assert "train.epochs 2 -> 2000" in ended.stderr and "(epoch " in ended.stderr
    goes_back()
    assert run_here(project, "tools.summary").stderr == ""
