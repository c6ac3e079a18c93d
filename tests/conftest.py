import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import yaml
from browsers import CHROMIUM
from faults import Faults
from filelock import FileLock

from segmentation.common.artifacts import GROUPS, RAW, Split
from segmentation.common.files import write_bytes
from segmentation.params import load_params
from segmentation.sources.groups import breeds, groups_table
from segmentation.sources.sample.generator import write_sample
from segmentation.splitting.checks import check_dataset
from segmentation.splitting.parts import split_dataset

ROOT = Path(__file__).parents[1]
DEFAULTS = load_params(ROOT / "params.yaml")

TRAINING = ["train_unet", "train_resnet", "evaluate"]
STAGES = ["download", "split", "compute_stats", *TRAINING]

# A run that takes seconds: what is tested is the plumbing, not the scores.
TINY = {
    "data.limit": 16,
    "image.size": 32,
    "model.width": 2,
    "train.epochs": 2,
    "evaluate.bootstrap": 100,
}


def checked_split(
    raw: Path, val_fraction: float, limit: int | None = None, max_dropped: float = 0, **others: Any
) -> Split:
    """Check the dataset in folder `raw` and split it; `others` are `seed` and `test_fraction`."""
    folder = DEFAULTS.data.folder
    if "test_fraction" in others:
        folder = folder.model_copy(update={"test_fraction": others.pop("test_fraction")})
    changes = {"val_fraction": val_fraction, "limit": limit, "max_dropped": max_dropped, "folder": folder}
    data = DEFAULTS.data.model_copy(update=changes | others)
    return split_dataset(raw, data, check_dataset(raw))


IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ  # of pytest-xdist: one of several processes that run tests


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", type=Path, help="write the table of faults into this Markdown file")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Faults(), "faults")
    # Small networks gain nothing from threads, and threads that compete for cores take ten times as long.
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # for what the tests start
    # They compare bytes, and start more processes than there are GPUs: so on the CPU. On a GPU:
    # `TEST_ON_GPU=1 pytest tests/segmentation/runtime`.
    if "TEST_ON_GPU" not in os.environ:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_unconfigure(config: pytest.Config) -> None:
    faults, path = config.pluginmanager.get_plugin("faults"), config.getoption("--faults", None)
    if path and faults and not IS_WORKER:
        before, _, rest = path.read_text().partition("<!-- faults -->")
        _, _, after = rest.partition("<!-- /faults -->")
        path.write_text(f"{before}<!-- faults -->\n{faults.table()}\n<!-- /faults -->{after}")


@pytest.fixture
def rounds(record_property: Callable[[str, object], None]) -> Callable[[int], None]:
    """Say how often a test tries its fault, where that is not once."""
    return lambda count: record_property("rounds", count)


def set_params(project: Path, **values: Any) -> None:
    """Change leaves of a project's params.yaml; `__` stands for the dot in a key."""
    path = project / "params.yaml"
    params = yaml.safe_load(path.read_text())
    for key, value in values.items():
        group = params
        *groups, leaf = key.split("__")
        for name in groups:
            group = group[name]
        assert leaf in group, key
        group[leaf] = value
    path.write_text(yaml.safe_dump(params))


def make_project(folder: Path) -> Path:
    """Clone the working tree, uncommitted changes included, into `folder` with tiny params."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    set_params(folder, **{key.replace(".", "__"): value for key, value in TINY.items()})
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "start")
    return folder


def git(project: Path, *arguments: str) -> None:
    """Run a `git` command as somebody."""
    somebody = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run(["git", *somebody, *arguments], cwd=project, check=True)


def built_once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], object]) -> Path:
    """Return the folder that `build` fills, at the first call of the whole test run: its workers share it."""
    base = factory.getbasetemp().parent if IS_WORKER else factory.getbasetemp()
    folder, done = base / name, base / f"{name}.done"
    with FileLock(base / f"{name}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            build(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session", autouse=True)
def _own_states(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Training states of the tests never meet those of the person who runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("states")))
        yield


@pytest.fixture
def states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this test's training states, empty at first."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "states"))
    return tmp_path / "states/binary-segmentation-pipeline"


@pytest.fixture(autouse=True)
def _same_randomness() -> Iterator[None]:
    torch.manual_seed(0)
    yield


class Ended(NamedTuple):
    """How a command ended, and what it printed."""

    status: int
    stdout: str
    stderr: str


RunHere = Callable[..., Ended]  # project, module, *arguments


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[RunHere]:
    """Runs `python -m MODULE ARGUMENTS` in a folder, but in this process, which saves the imports."""

    def run_module(folder: Path, name: str, *arguments: str | Path) -> Ended:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        monkeypatch.delitem(sys.modules, name, raising=False)
        capsys.readouterr()
        status = 0
        try:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            status = int(ended.code or 0)
        return Ended(status, *capsys.readouterr())

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield run_module
    for number, handler in handlers.items():  # a command sets its own
        signal.signal(number, handler)


def run_stage(project: Path, stage: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `python -m stages.STAGE` in a project, as a person would without DVC."""
    return subprocess.run(
        [sys.executable, "-m", f"stages.{stage}"],
        cwd=project, capture_output=True, text=True, timeout=1800, **options,
    )  # fmt: skip


def dvc_environment() -> dict[str, str]:
    """The environment in which `dvc`, and the `python` of its stages, are those of this interpreter."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def dvc(project: Path, *arguments: str, status: int = 0) -> str:
    """Run a `dvc` command as typed and return what it printed."""
    finished = subprocess.run(
        ["dvc", *arguments],
        cwd=project, env=dvc_environment(), timeout=600,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert finished.returncode == status, finished.stdout
    return finished.stdout


def ran(output: str) -> list[str]:
    """The stages that a `dvc repro` ran, by what it printed."""
    return re.findall(r"Running stage '(\w+)'", output)


def timed_sample(folder: Path) -> None:
    """Write the sample images of seed 0, and beside the folder how many seconds of a core that took."""
    started = time.process_time()
    write_sample(folder, seed=0)
    folder.with_suffix(".seconds").write_text(str(time.process_time() - started))


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample images of seed 0; not to be changed."""
    return built_once(tmp_path_factory, "sample", timed_sample)


def first_repro(project: Path) -> None:
    """Make a tiny project and run `dvc repro` in it; commit what it leaves."""
    make_project(project)
    (project / "dvc.lock").unlink(missing_ok=True)
    assert ran(dvc(project, "repro")) == STAGES
    git(project, "commit", "-qam", "run")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after its first `dvc repro`, committed; not to be changed."""
    return built_once(tmp_path_factory, "finished", first_repro)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> Path:
    """A tiny project with data, split and stats; not to be changed."""

    def prepare(project: Path) -> None:
        make_project(project)
        shutil.copytree(sample, project / RAW)  # what the first stage writes, without its seconds
        write_bytes(project / GROUPS, groups_table(breeds(sample)))
        for stage in ("split", "compute_stats"):
            assert run_stage(project, stage).returncode == 0

    return built_once(tmp_path_factory, "prepared", prepare)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, for tests marked `needs_browser`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def project(prepared: Path, tmp_path: Path) -> Path:
    """A copy of the prepared project, to be changed at will."""
    return copied(prepared, tmp_path)


def copied(project: Path, folder: Path) -> Path:
    """A copy of a project in `folder`."""
    return Path(shutil.copytree(project, folder / "project", symlinks=True))
