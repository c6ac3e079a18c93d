"""Runs as DVC experiments, and what they leave."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from filelock import FileLock

from segmentation.common.artifacts import PER_IMAGE, TEST_METRICS, training_summary_path
from segmentation.common.errors import Fault, InputError
from segmentation.common.signals import deferred
from segmentation.common.tables import read_csv
from segmentation.experiments.plan import SEED, Run, flat
from segmentation.experiments.results import Row
from segmentation.params import PARAMS, read_params
from segmentation.runtime.devices import choose_device, describe

LOGS = Path(".dvc/tmp/experiments")


class Task(NamedTuple):
    """A run that is missing: its experiment's name, the version of the code, and what it changes in words."""

    name: str
    run: Run
    code: str
    changed: str


class Found(NamedTuple):
    """What a finished run leaves: a row for each network, and its table of test images."""

    rows: list[Row]
    images: list[Row]


def one_by_one(tasks: Sequence[Task]) -> Iterator[tuple[Task, Found | None]]:
    """Train each run in a copy of the project; yield what it leaves, None if it failed."""
    for number, task in enumerate(tasks, 1):
        print(f"{number} of {len(tasks)}: {task.name} ({task.changed or 'nothing changed'})", flush=True)
        yield task, finished(task, hardware()) or train(task, log_of(task.name))


def call(*command: str) -> str:
    """Run a short command and return what it printed; raises `Fault` with its last line if it fails."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
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


def train(task: Task, log: Path, *options: str) -> Found | None:
    """Train and evaluate in a copy of the project, by `dvc exp run --temp`; return None if it failed.

    Not in DVC's queue: its worker goes on when this process is stopped, and when the worker dies, its task is
    listed as running for ever. What it prints goes to `log`. If this process is asked to stop, the training
    saves its state first, and resumes from it the next time. `options` are more of those of DVC.
    """
    params, present = task.run.params, flat(read_params(PARAMS))
    changed = [f"{key}={spelled(value)}" for key, value in params.items() if present.get(key) != value]
    command = ["dvc", "exp", "run", "--temp", "--name", task.name, *options]
    with log.open("w", encoding="utf-8") as output:
        # In a session of its own: DVC must end in order, for it has moved the changes of the workspace aside.
        process = subprocess.Popen(
            [*command, *(part for each in changed for part in ("-S", each))],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            ended_well = process.wait() == 0
        except BaseException:  # a signal; submitit's ends with SystemExit
            with deferred():  # another one must not keep the training from saving its state
                os.killpg(process.pid, signal.SIGINT)
                process.wait()
            raise
    return finished(task, hardware()) if ended_well else None


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


def hardware() -> str:
    """Name what this machine trains with."""
    return describe(choose_device())


def finished(task: Task, hardware: str) -> Found | None:
    """Return what a finished run leaves, None if there is no such experiment here; it ran on `hardware`."""
    commit = experiment_of(task.name)
    if not commit:
        return None
    test = json.loads(call("git", "show", f"{commit}:{TEST_METRICS}"))
    seed, rows = task.run.params[SEED], []
    for network in (name for name in test if name != "difference"):
        summary = json.loads(call("git", "show", f"{commit}:{training_summary_path(network)}"))
        scores = {key: f"{test[network][key]:.6g}" for key in ("dice", "dice_pooled", "dice_soft")}
        rows.append(
            {"run": task.run.key, "code": task.code, "seed": str(seed), "network": network}
            | scores
            | {"threshold": str(summary["threshold"]), "epoch": str(summary["epoch"])}
            | {"changed": task.changed, "hardware": hardware}
        )
    return Found(rows, read_csv(table_of(commit), "evaluate"))
