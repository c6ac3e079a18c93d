"""Runs in DVC's queue: which are missing, what became of them, and what they left."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from segmentation.common.artifacts import PER_IMAGE, TEST_METRICS, training_summary_path
from segmentation.common.errors import Fault, InputError
from segmentation.common.tables import read_csv
from segmentation.experiments.plan import ADDRESSES, Leaves, Run, flat
from segmentation.experiments.results import Row
from segmentation.params import PARAMS

POLL_S = 5.0  # between two looks at the queue
OVER = ("Success", "Failed")
STATES = (*OVER, "Running", "Queued")


def call(*command: str) -> str:
    """Run a command and return what it printed; raises `Fault` with its last line if it fails."""
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Fault(f"{command[0]}: not found; activate the environment: source .venv/bin/activate") from None
    if ended.returncode:
        said = (ended.stderr.strip() or ended.stdout.strip() or "it says nothing").splitlines()
        raise Fault(f"`{' '.join(command[:3])}` failed: {said[-1]}")
    return ended.stdout


def states() -> dict[str, str]:
    """Return the state of each task in the queue by its name."""
    pattern = rf"^\w+\s+(\S+)\s.*\b({'|'.join(STATES)})\s*$"
    return dict(re.findall(pattern, call("dvc", "queue", "status"), re.M))


def workers() -> int:
    """Return how many workers of the queue are at work, or about to be."""
    found = re.search(r"Worker status: (\d+) active, (\d+) idle", call("dvc", "queue", "status"))
    return int(found[1]) + int(found[2]) if found else 0


def commit_of(name: str) -> str | None:
    """Return the commit of a finished experiment, None if there is none."""
    found = call("git", "for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{name}").split()
    return found[0] if found else None


def enqueue(name: str, run: Run) -> None:
    """Queue a run: every param that differs from params.yaml is set."""
    present = flat(yaml.safe_load(PARAMS.read_text(encoding="utf-8")))
    changed = [f"{key}={_spelled(value)}" for key, value in run.params.items() if present.get(key) != value]
    call("dvc", "exp", "run", "--queue", "--name", name, *(part for each in changed for part in ("-S", each)))


def _spelled(value: Any) -> str:
    # As Hydra, which DVC reads it with, takes it; JSON's strings are quoted for it too.
    return json.dumps(value)


def forget(name: str) -> None:
    """Remove a task from the queue, also one that is listed as running though its worker has died."""
    if states().get(name) == "Running":
        call("dvc", "queue", "kill", "--force", name)
    call("dvc", "queue", "remove", name)


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
    lock = yaml.safe_load(call("git", "show", f"{commit}:dvc.lock"))
    (md5,) = (out["md5"] for out in lock["stages"]["evaluate"]["outs"] if out["path"] == PER_IMAGE.as_posix())
    cached = Path(call("dvc", "cache", "dir").strip()) / "files/md5" / md5[:2] / md5[2:]
    return rows, read_csv(cached, "evaluate")


def take(
    named: Mapping[str, Run], finished: Callable[[str, str], None], say: Callable[[str], None]
) -> Iterator[str]:
    """Run what is not finished yet, by name; yield the names of those that failed.

    `finished` gets the name and commit of each run that ends. A run that was stopped with its worker is
    queued again; so is one that failed before. Raises `Fault` if the queue stops working.
    """
    left = dict(named)
    known, at_work = states(), workers() > 0
    for name, run in named.items():
        if commit := commit_of(name):
            finished(name, commit)
            del left[name]
            continue
        if known.get(name) == "Failed" or (known.get(name) == "Running" and not at_work):
            forget(name)
        elif name in known:
            continue
        enqueue(name, run)
        say(f"queued {name}")
    if left and not at_work:
        call("dvc", "queue", "start", "-j", "1")
    while left:
        time.sleep(POLL_S)
        known = states()
        for name in list(left):
            if known.get(name) in (*OVER, None):
                commit = commit_of(name)
                del left[name]
                if commit:
                    finished(name, commit)
                else:
                    yield name
        if left and not workers() and not any(states().get(name) == "Running" for name in left):
            call("dvc", "queue", "start", "-j", "1")


def settings(given: Sequence[str]) -> Leaves:
    """Read `key=value` from the command line; raises `InputError` for anything else."""
    found = {}
    for each in given:
        key, equals, value = each.partition("=")
        if not equals or not (key in ADDRESSES or key.startswith("machine.")):
            allowed = f"{', '.join(ADDRESSES)} and machine.*"
            raise InputError(f"{each}: only {allowed} can be set here, as key=value; the rest in the file")
        found[key] = yaml.safe_load(value)
    return found
