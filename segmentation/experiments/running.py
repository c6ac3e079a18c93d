"""Runs as DVC experiments, one after the other, and what they leave."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock

from segmentation.common.artifacts import PER_IMAGE, TEST_METRICS, training_summary_path
from segmentation.common.errors import Fault, InputError
from segmentation.common.signals import Interrupted
from segmentation.common.tables import read_csv
from segmentation.experiments.plan import Run, flat
from segmentation.experiments.results import Row
from segmentation.params import PARAMS, read_params

LOGS = Path(".dvc/tmp/experiments")


def call(*command: str) -> str:
    """Run a short command and return what it printed; raises `Fault` with its last line if it fails."""
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Fault(f"{command[0]}: not found; activate the environment: source .venv/bin/activate") from None
    if ended.returncode:
        said = (ended.stderr.strip() or ended.stdout.strip() or "it says nothing").splitlines()
        raise Fault(f"`{' '.join(command[:3])}` failed: {said[-1]}")
    return ended.stdout


def experiment_of(name: str) -> str | None:
    """Return the commit of the finished experiment `name`, None if there is none.

    One whose table of test images is no longer in DVC's cache is removed.
    """
    found = call("git", "for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{name}").split()
    if found and not table_of(found[0]).exists():
        call("dvc", "exp", "remove", name)
        return None
    return found[0] if found else None


def table_of(commit: str) -> Path:
    """Return where DVC's cache holds metrics/per_image.csv of an experiment."""
    outs = yaml.safe_load(call("git", "show", f"{commit}:dvc.lock"))["stages"]["evaluate"]["outs"]
    (md5,) = (out["md5"] for out in outs if out["path"] == PER_IMAGE.as_posix())
    return Path(call("dvc", "cache", "dir").strip()) / "files/md5" / md5[:2] / md5[2:]


def run_experiment(name: str, run: Run) -> bool:
    """Train and evaluate in a copy of the project, by `dvc exp run --temp`; return whether it ended well.

    Not in DVC's queue: its worker goes on when this process is stopped, and when the worker dies, its task is
    listed as running for ever. What it prints goes to a log. If a signal asks to stop, the training saves its
    state first, and resumes from it the next time.
    """
    present = flat(read_params(PARAMS))
    changed = [f"{key}={spelled(value)}" for key, value in run.params.items() if present.get(key) != value]
    command = ["dvc", "exp", "run", "--temp", "--name", name]
    with log_of(name).open("w", encoding="utf-8") as log:
        # In a session of its own: DVC must end in order, for it has moved the changes of the workspace aside.
        process = subprocess.Popen(
            [*command, *(part for each in changed for part in ("-S", each))],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait() == 0
        except Interrupted:
            os.killpg(process.pid, signal.SIGINT)
            process.wait()
            raise


def log_of(name: str) -> Path:
    """Return where the output of an experiment goes."""
    LOGS.mkdir(parents=True, exist_ok=True)
    return LOGS / f"{name}.log"


def lock_of(file: Path) -> FileLock:
    """Return the lock of a file of questions: two processes would take the same runs."""
    return FileLock(log_of(file.stem).with_name(f"{file.stem}.lock"), blocking=False)


def spelled(value: Any) -> str:
    """Spell a value as Hydra reads it, which DVC uses for `-S`: as JSON, but other letters stay."""
    if isinstance(value, str):
        if value.endswith("\\"):
            raise InputError(f"{value}: must not end with a backslash")
        return '"' + value.replace('"', '\\"') + '"'
    if isinstance(value, list):
        return f"[{','.join(map(spelled, value))}]"
    return json.dumps(value)


def rows_of(commit: str, run: Run, code: str, changed: str, hardware: str) -> tuple[list[Row], list[Row]]:
    """Return the rows of a finished run, and its table of test images."""
    test = json.loads(call("git", "show", f"{commit}:{TEST_METRICS}"))
    rows = []
    for network in (name for name in test if name != "difference"):
        summary = json.loads(call("git", "show", f"{commit}:{training_summary_path(network)}"))
        scores = {key: f"{test[network][key]:.6g}" for key in ("dice", "dice_pooled", "dice_soft")}
        rows.append(
            {"run": run.key, "code": code, "seed": str(run.params["train.seed"]), "network": network}
            | scores
            | {"threshold": str(summary["threshold"]), "epoch": str(summary["epoch"])}
            | {"changed": changed, "hardware": hardware}
        )
    return rows, read_csv(table_of(commit), "evaluate")
