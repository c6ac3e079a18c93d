"""Running a stage that is killed, or asked to stop, at a chosen moment: the real one, in its own process.

A signal from outside arrives at any moment but the wanted one. So the process sends it to itself, at the n-th
call of one of its functions; nothing else about it is changed.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from commands import run_stage
from content import digests

# The function at whose n-th call the signal comes, and what is done before it.
MOMENTS = {
    "a step": "training.optimizer.Optimization.step",
    "a validation": "training.validation.soft_sums",
    "a write": "common.files.os.fsync",
    "the summary": "training.outputs.write_json",
}

SCRIPT = """
import importlib, os, runpy, sys
stage, moment, call, signum = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
importlib.import_module(f"stages.{stage}")
room, module, *names = moment.split(".")
owner = importlib.import_module(f"segmentation.{room}.{module}")
for name in names[:-1]:
    owner = getattr(owner, name)
original, calls = getattr(owner, names[-1]), 0

def interrupted(*arguments, **options):
    global calls
    calls += 1
    if calls == call:
        if names[-1] == "fsync" and signum == 9:  # a torn file: half of it has reached the disk
            os.truncate(arguments[0], os.fstat(arguments[0]).st_size // 2)
        os.kill(os.getpid(), signum)
    return original(*arguments, **options)

setattr(owner, names[-1], interrupted)
del sys.modules[f"stages.{stage}"]
sys.argv = [f"stages/{stage}.py"]
runpy.run_module(f"stages.{stage}", run_name="__main__")
"""


def run_interrupted(
    project: Path, stage: str, moment: str, call: int, signum: int = signal.SIGKILL
) -> subprocess.CompletedProcess[str]:
    """Run a stage that gets `signum` at the `call`-th call of the function behind `moment`."""
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, stage, MOMENTS[moment], str(call), str(int(signum))],
        cwd=project, capture_output=True, text=True, timeout=300, env=os.environ,
    )  # fmt: skip


def outputs(project: Path, name: str = "unet") -> dict[str, str]:
    paths = [f"checkpoints/{name}.pt", f"metrics/train_{name}.json", f"metrics/plots/train_{name}.csv"]
    return digests(project, paths)


def uninterrupted(project: Path, name: str = "unet") -> dict[str, str]:
    """The outputs of a training that nothing interrupts; deleted, as DVC does before a stage runs again."""
    finished = run_stage(project, f"train_{name}")
    assert finished.returncode == 0, finished.stderr
    found = outputs(project, name)
    for path in found:
        (project / path).unlink()
    return found


def left(states: Path) -> list[str]:
    return sorted(path.suffix for path in states.iterdir())


def start(project: Path, stage: str = "train_unet") -> subprocess.Popen[str]:
    """Start a training and wait for its first epoch."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"stages.{stage}"],
        cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if ": epoch " in line:
            return process
    raise AssertionError(process.communicate()[1])
