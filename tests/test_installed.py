"""What `pip install .` gives: the command `petseg`, with the packages that prediction needs."""

import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commands import RunHere
from packaging.requirements import Requirement
from PIL import Image
from projects import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CHECKPOINT = ROOT / "tests/fixtures/unet_format_1.pt"


def pinned(file: str) -> Iterator[tuple[str, str]]:
    """The packages of a requirements file, and of those that it names, with their versions."""
    for line in (ROOT / file).read_text().splitlines():
        if line.startswith("-r "):
            yield from pinned(line.removeprefix("-r "))
        elif match := re.match(r"([\w.-]+)==(\S+)", line):
            yield match[1], match[2]


@pytest.mark.parametrize(
    ("extra", "file"),
    [("train", "requirements.txt")]
    + [(name, f"requirements-{name}.txt") for name in ("export", "serve", "cluster")],
)
def test_the_package_needs_what_the_requirements_pin(extra: str, file: str) -> None:
    needed = list(map(Requirement, PROJECT["optional-dependencies"][extra]))
    if extra == "train":
        needed += map(Requirement, PROJECT["dependencies"])
    pins = dict(pinned(file))
    assert {package.name for package in needed} == set(pins)
    assert [package for package in needed if not package.specifier.contains(pins[package.name])] == []


def run(*command: str | Path, cwd: Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert ended.returncode == status, ended.stdout + ended.stderr
    return ended


@pytest.mark.slow
def test_prediction_where_there_is_no_clone(tmp_path: Path, run_here: RunHere) -> None:
    """From the wheel, in an environment of its own: the masks that `tools.predict` writes here."""
    pip: list[str | Path] = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path]
    run(*pip, ROOT, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    tracked = run("git", "ls-files", "segmentation", "tools", cwd=ROOT).stdout.split()
    files = {re.sub("^tools/", "segmentation/tools/", name) for name in tracked}
    assert files <= set(zipfile.ZipFile(wheel).namelist())  # templates and scripts too

    venv.create(tmp_path / "env", with_pip=True)
    programs = tmp_path / "env/bin"
    pins = [f"--constraint={ROOT / name}" for name in ("requirements-core.txt", "constraints.txt")]
    run(programs / "pip", "install", "-q", *pins, wheel, cwd=tmp_path)

    noise = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    arguments: list[str | Path] = ["photo.png", "--checkpoint", CHECKPOINT, "--out"]
    run(programs / "petseg", "predict", *arguments, "theirs", cwd=tmp_path)
    assert run_here(tmp_path, "tools.predict", *arguments, "ours").status == 0
    assert (tmp_path / "theirs/photo.png").read_bytes() == (tmp_path / "ours/photo.png").read_bytes()

    tools = run(programs / "petseg", "--help", cwd=tmp_path).stdout
    assert all(f"\n{name} " in tools for name in ("predict", "export", "serve", "report", "plan", "runs"))
    assert run(programs / "petseg", "predict", "-h", cwd=tmp_path).stdout.startswith("usage: petseg predict")
    for name, missing in (("serve", "uvicorn"), ("report", "scipy"), ("experiments", "vl_convert")):
        refused = run(programs / "petseg", name, cwd=tmp_path, status=2).stderr
        assert refused.startswith(f"petseg {name}: error: needs {missing}; ") and refused.count("\n") == 1
    refused = run(programs / "petseg", "nothing", cwd=tmp_path, status=2).stderr
    assert "invalid choice: 'nothing'" in refused and refused.count("\n") == 1

    # In a clone, the clone's own code runs; elsewhere, other projects may have a folder `tools`.
    where = "import tools, segmentation.params as params; print(tools.__path__[0], params.__file__)"
    found = run(programs / "python", "-c", where, cwd=ROOT).stdout
    assert found.split() == [str(ROOT / "tools"), str(ROOT / "segmentation/params.py")]
    run(programs / "python", "-c", where, cwd=tmp_path, status=1)
