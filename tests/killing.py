"""Running a stage that is killed, or asked to stop, at a chosen moment: the real one, in its own process.

A signal from outside arrives at any moment but the wanted one. So the process sends it to itself, at the n-th
call of one of its functions; nothing else about it is changed.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

# The function at whose n-th call the signal comes, and what is done before it.
MOMENTS = {
    "a step": "training.optimizer.Optimization.step",
    "a validation": "inference.dataset_pass.soft_sums",
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
