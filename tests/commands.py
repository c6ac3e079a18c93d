"""What people type, run as they would."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

CHECK = "check_params"  # the stage that comes first


class Ended(NamedTuple):
    """How a command ended, and what it printed."""

    status: int
    stdout: str
    stderr: str


RunHere = Callable[..., Ended]  # project, module, *arguments


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


def start_queue(project: Path, workers: int = 1) -> None:
    """Run `dvc queue start`."""
    # Without a pipe: the workers inherit it, and whoever reads it would wait for their end.
    process = subprocess.Popen(
        ["dvc", "queue", "start", "-j", str(workers)],
        cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=dvc_environment(),
    )  # fmt: skip
    assert process.wait(timeout=60) == 0


def ran(output: str) -> list[str]:
    """The stages that a `dvc repro` ran, by what it printed; not the check, which any other param runs."""
    return [stage for stage in re.findall(r"Running stage '(\w+)'", output) if stage != CHECK]
