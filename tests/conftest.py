import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from segmentation.params import load_params
from segmentation.sources.sample.generator import write_sample

ROOT = Path(__file__).parents[1]
DEFAULTS = load_params(ROOT / "params.yaml")

TRAINING = ["train_unet", "train_resnet", "evaluate"]

# A run that takes seconds: what is tested is the plumbing, not the scores.
TINY = {
    "data.limit": 16,
    "image.size": 32,
    "model.width": 2,
    "train.epochs": 2,
    "evaluate.bootstrap": 100,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", type=Path, help="write the table of faults into this Markdown file")


class Faults:
    """How often each kind of fault was tried in this run, by the tests' own `fault` marks and rounds."""

    def __init__(self) -> None:
        self.tried: dict[str, list[int]] = {}  # the rounds of each test
        self.failed: dict[str, int] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if mark := item.get_closest_marker("fault"):
                item.user_properties.append(("fault", mark.args[0]))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties = dict(report.user_properties)
        if "fault" in properties and report.when == "call" and not report.skipped:
            self.tried.setdefault(str(properties["fault"]), []).append(int(str(properties.get("rounds", 1))))
            self.failed[str(properties["fault"])] = report.failed + self.failed.get(
                str(properties["fault"]), 0
            )

    def table(self) -> str:
        rows = ["| fault | tests | times | failed |", "|---|---|---|---|"]
        for kind, rounds in sorted(self.tried.items()):
            rows.append(f"| {kind} | {len(rounds)} | {sum(rounds)} | {self.failed[kind]} |")
        total = sum(map(sum, self.tried.values()))
        rows.append(
            f"| **together** | {sum(map(len, self.tried.values()))} | {total} | {sum(self.failed.values())} |"
        )
        return "\n".join(rows)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Faults(), "faults")


def pytest_unconfigure(config: pytest.Config) -> None:
    faults, path = config.pluginmanager.get_plugin("faults"), config.getoption("--faults", None)
    if path and faults:
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
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "start"]):
        subprocess.run([*git, *command], cwd=folder, check=True)
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


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample pictures of seed 0; not to be changed."""
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder, seed=0)
    return folder


@pytest.fixture(autouse=True)
def _same_randomness() -> Iterator[None]:
    torch.manual_seed(0)
    yield


def run_stage(project: Path, stage: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `python -m stages.STAGE` in a project, as a person would without DVC."""
    return subprocess.run(
        [sys.executable, "-m", f"stages.{stage}"],
        cwd=project, capture_output=True, text=True, timeout=300, **options,
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


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after its first `dvc repro`, committed; not to be changed."""
    project = make_project(tmp_path_factory.mktemp("finished"))
    (project / "dvc.lock").unlink(missing_ok=True)
    output = dvc(project, "repro")
    assert ran(output) == ["download", "split", "compute_stats", *TRAINING]
    subprocess.run(
        ["git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qam", "run"],
        cwd=project, check=True,
    )  # fmt: skip
    return project


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny project with data, split and stats; not to be changed."""
    project = make_project(tmp_path_factory.mktemp("prepared"))
    for stage in ("download", "split", "compute_stats"):
        assert run_stage(project, stage).returncode == 0
    return project


@pytest.fixture
def project(prepared: Path, tmp_path: Path) -> Path:
    """A copy of the prepared project, to be changed at will."""
    return Path(shutil.copytree(prepared, tmp_path / "project", symlinks=True))
