import os
import runpy
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from browsers import CHROMIUM
from commands import Ended, RunHere, dvc, ran, run_stage
from filelock import FileLock
from projects import STAGES, copied, git, make_project
from servers import Server, running

from segmentation.common.artifacts import GROUP_COLUMNS, GROUPS, RAW
from segmentation.common.files import write_bytes
from segmentation.common.tables import csv_bytes
from segmentation.models.checkpoints import warn
from segmentation.sources.groups import breeds
from segmentation.sources.sample.generator import write_sample

IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ  # of pytest-xdist: one of several processes that run tests


def pytest_configure(config: pytest.Config) -> None:
    # Small networks gain nothing from threads, and threads that compete for cores take ten times as long.
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # for what the tests start
    # They compare bytes, and start more processes than there are GPUs: so on the CPU. On a GPU:
    # `TEST_ON_GPU=1 pytest tests/segmentation/runtime`.
    if "TEST_ON_GPU" not in os.environ:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture(autouse=True)
def denormal_numbers() -> Iterator[None]:
    """Stages turn them off for their process; hypothesis needs them."""
    yield
    torch.set_flush_denormal(False)


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


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[RunHere]:
    """Runs `python -m MODULE ARGUMENTS` in a folder, but in this process, which saves the imports."""

    def run_module(folder: Path, name: str, *arguments: str | Path) -> Ended:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        monkeypatch.delitem(sys.modules, name, raising=False)
        warn.cache_clear()  # each command warns once
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


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample images of seed 0; not to be changed."""
    return built_once(tmp_path_factory, "sample", lambda folder: write_sample(folder, seed=0))


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
        shutil.copytree(sample, project / RAW)  # what the first stage writes
        write_bytes(project / GROUPS, csv_bytes(GROUP_COLUMNS, breeds(sample)))
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
def page(browser: Any, server: Server, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page; in the end, the browser must have complained about nothing and asked no other host."""
    options = getattr(request, "param", {"width": 1280, "scheme": "light"})
    context = browser.new_context(
        viewport={"width": options["width"], "height": 900}, color_scheme=options["scheme"]
    )
    page, complaints = context.new_page(), []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda sent: complaints.extend(elsewhere(sent.url, server.url)))
    page.goto(server.url)
    page.wait_for_selector("#examples img")
    yield page
    assert [text for text in complaints if "status of 422" not in text] == []  # the browser says these itself
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()


def elsewhere(url: str, own: str) -> list[str]:
    return [] if url.startswith((own, "blob:" + own, "data:")) else [url]


@pytest.fixture(scope="module")
def server(finished: Path) -> Iterator[Server]:
    """The server in the finished project; in the end it must stop in good order, without a complaint."""
    with running(finished) as server:
        yield server


@pytest.fixture
def project(prepared: Path, tmp_path: Path) -> Path:
    """A copy of the prepared project, to be changed at will."""
    return copied(prepared, tmp_path)
