import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from stages.segmentation.params import load_params
from stages.segmentation.sources.sample import write_sample

ROOT = Path(__file__).parents[1]
DEFAULTS = load_params(ROOT / "params.yaml")

# A run that takes seconds: what is tested is the plumbing, not the scores.
TINY = {
    "data.limit": 16,
    "image.size": 32,
    "model.width": 2,
    "train.epochs": 2,
    "evaluate.bootstrap": 100,
}


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
