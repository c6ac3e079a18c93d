"""Runs as DVC experiments, and what they leave."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from segmentation.common.artifacts import PER_IMAGE, TEST_METRICS, training_summary_path
from segmentation.common.errors import InputError
from segmentation.common.leaves import flat
from segmentation.common.progress import LINE_EVERY_S
from segmentation.common.signals import deferred
from segmentation.common.tables import read_csv
from segmentation.experiments.plan import SEED, Run
from segmentation.experiments.results import SCORES, RunScores
from segmentation.params import PARAMS, read_params
from segmentation.runtime.devices import choose_device, describe
from segmentation.workspace import call

LOGS = Path(".dvc/tmp/experiments")


class Experiment(NamedTuple):
    """A run that is missing: its name in DVC, the version of the code, and what it changes in words."""

    name: str
    run: Run
    code: str
    changed: str


def one_by_one(experiments: Sequence[Experiment]) -> Iterator[tuple[Experiment, RunScores | None]]:
    """Train each run in a copy of the project; yield what it leaves, None if it failed."""
    took: list[float] = []
    for number, experiment in enumerate(experiments):
        changed, log = experiment.changed or "nothing changed", log_of(experiment.name)
        seconds = sum(took) / max(1, len(took)) * (len(experiments) - number)
        left = f"; {timedelta(seconds=round(seconds))} left of all" if took else ""
        print(f"{number + 1} of {len(experiments)}: {experiment.name} ({changed})", flush=True)
        print(f"  log: {log}{left}", flush=True)
        scores, started = finished(experiment), time.monotonic()
        if not scores:
            scores = train(experiment, log)
            took.append(time.monotonic() - started)
        yield experiment, scores


def train(experiment: Experiment, log: Path, *options: str) -> RunScores | None:
    """Train and evaluate in a copy of the project, by `dvc exp run --temp`; return None if it failed.

    Not in DVC's queue: its worker continues when this process is stopped, and when the worker dies, its task
    is listed as running forever. The output goes to `log`. If this process is asked to stop, the training
    saves its state first, and resumes from it the next time. `options` are further ones of `dvc exp run`.
    """
    command = ["dvc", "exp", "run", "--temp", "--name", experiment.name, *options]
    present = flat(read_params(PARAMS))
    for key, value in experiment.run.params.items():
        if present.get(key) != value:
            command += ["-S", f"{key}={spelled(value)}"]
    with log.open("w", encoding="utf-8") as output:
        # In a session of its own: DVC must end in order, for it has moved the changes of the workspace aside.
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            _follow(process, log)
        except BaseException:  # a signal; submitit's ends with SystemExit
            with deferred():  # another one must not keep the training from saving its state
                os.killpg(process.pid, signal.SIGINT)
                process.wait()
            raise
    return finished(experiment) if process.returncode == 0 else None


def _follow(process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait for the end of a process, and show the latest line of its log now and then."""
    shown = ""
    while process.poll() is None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(LINE_EVERY_S)
            return
        latest = log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
        if latest != shown:
            print(f"  {latest}", flush=True)
            shown = latest


def log_of(name: str) -> Path:
    """Return where the output of an experiment goes."""
    LOGS.mkdir(parents=True, exist_ok=True)
    return LOGS / f"{name}.log"


def spelled(value: Any) -> str:
    """Spell a value as Hydra reads it, which DVC uses for `-S`: as JSON, but other letters stay."""
    if isinstance(value, str):
        if value.endswith("\\"):
            raise InputError(f"{value}: must not end with a backslash")
        return '"' + value.replace('"', '\\"') + '"'
    if isinstance(value, list):
        return f"[{','.join(map(spelled, value))}]"
    return json.dumps(value)


def finished(experiment: Experiment, hardware: str | None = None) -> RunScores | None:
    """Return what a finished run leaves, None if there is no such experiment here.

    It ran on `hardware`, by default that of this machine. An experiment whose outputs are no longer in
    DVC's cache is removed.
    """
    ref = f"refs/exps/*/*/{experiment.name}"
    commit = call("git", "for-each-ref", "--count=1", "--format=%(objectname)", ref).strip()
    if not commit:
        return None
    cache = Path(call("dvc", "cache", "dir").strip()) / "files/md5"
    stages = yaml.safe_load(call("git", "show", f"{commit}:dvc.lock"))["stages"].values()
    kept = {out["path"]: cache / out["md5"][:2] / out["md5"][2:] for stage in stages for out in stage["outs"]}
    run, test, rows = experiment.run, json.loads(call("git", "show", f"{commit}:{TEST_METRICS}")), []
    summaries = {name: kept[str(training_summary_path(name))] for name in test if name != "difference"}
    table = kept[str(PER_IMAGE)]
    if not all(path.exists() for path in (table, *summaries.values())):
        call("dvc", "exp", "remove", experiment.name)
        return None
    for network, path in summaries.items():
        summary = json.loads(path.read_bytes())
        rows.append(
            {"run": run.key, "code": experiment.code, "seed": str(run.params[SEED]), "network": network}
            | {score: f"{test[network][score]:.6g}" for score in SCORES}
            | {"threshold": str(summary["threshold"]), "epoch": str(summary["epoch"])}
            | {"changed": experiment.changed, "hardware": hardware or describe(choose_device())}
        )
    return RunScores(rows, read_csv(table, "evaluate"))
