"""Train the runs that a file of questions needs, and write what all results show."""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal

import vl_convert
from filelock import FileLock, Timeout

from segmentation.common.errors import Fault, InputError
from segmentation.common.files import write_bytes
from segmentation.experiments.charts import forest
from segmentation.experiments.comparisons import comparisons
from segmentation.experiments.page import markdown
from segmentation.experiments.plan import Plan, changes, code_hash, runs
from segmentation.experiments.plan_file import check_addresses, read_plan, settings
from segmentation.experiments.results import RunScores, add, paths, read_results
from segmentation.experiments.running import Experiment, log_of, one_by_one

FOLDER = Path("experiments")

Launch = Callable[[Sequence[Experiment]], Iterator[tuple[Experiment, RunScores | None]]]


def ask(
    file: Path | None = None,
    set_param: Sequence[str] = (),
    launcher: Literal["slurm"] | None = None,
    **cluster: Any,
) -> None:
    """Train what FILE needs, if there is one; then write what all results show."""
    launch: Launch = one_by_one
    if launcher:
        from segmentation.experiments import launching

        launch = partial(launching.launch, **cluster)
    elif cluster:
        raise InputError(f"--{next(iter(cluster)).replace('_', '-')}: only with --launcher slurm")
    if file and (failed := run_missing(file, set_param, launch)):
        with suppress(InputError):  # a damaged file is reported the next time
            write_pages()
        raise Fault(f"{len(failed)} runs failed; the first one's log: {log_of(failed[0])}")
    if not write_pages():
        raise InputError(f"{FOLDER}/results: no such results; run `tools.experiments run FILE` first")


def write_pages() -> int:
    """Write what the kept results of each file of questions show; return how many have results."""
    written = 0
    for path in sorted(FOLDER.glob("*.yaml")):
        kept = read_results(path)
        if kept.rows:
            page, plan = paths(path)[0].with_suffix(".md"), read_plan(path)
            pairs = comparisons(plan, kept)
            write_bytes(page, markdown(path, plan, kept, pairs).encode())
            if pairs:
                chart = json.dumps(forest(pairs) | {"background": "white"})
                write_bytes(page.with_suffix(".svg"), vl_convert.vegalite_to_svg(chart).encode())
            print(f"experiments: {page}")
            written += 1
    return written


def run_missing(file: Path, given: Sequence[str], launch: Launch) -> list[str]:
    """Train the runs of FILE that have no results yet; return the names of those that failed."""
    if file.parent.resolve() != FOLDER.resolve() or file.suffix != ".yaml":
        raise InputError(f"{file}: must be a .yaml file in {FOLDER}/")
    if not re.fullmatch(r"\w[\w-]*", file.stem, re.ASCII):  # the experiments' names begin with it
        raise InputError(f"{file}: its name may have letters, digits, _ and - only; rename it")
    plan = read_plan(file)
    plan.budget |= settings(given)
    try:  # two processes would take the same runs
        with FileLock(log_of(file.stem).with_suffix(".lock"), blocking=False):
            return take(file, plan, launch)
    except Timeout:
        raise Fault(f"{file}: another process runs it; wait for its end, or stop it") from None


def take(file: Path, plan: Plan, launch: Launch) -> list[str]:
    """Train the runs that have no results of this code, and keep what they leave."""
    wanted, kept, code = runs(plan), read_results(file), code_hash()
    present = {row["run"] for row in kept.rows if row["code"] == code}
    missing = [
        Experiment(f"{file.stem}-{run.key}-{code[:6]}", run, code, changes(plan, run))
        for run in wanted
        if run.key not in present
    ]
    print(f"{file}: {len(wanted)} runs, {len(missing)} missing", flush=True)
    if "train.epochs" in plan.budget and "train.min_steps" not in plan.budget:
        print("train.min_steps = 0, for the budget names train.epochs", flush=True)
    if not missing:
        return []
    if not shutil.which("dvc"):
        raise Fault("dvc: not found; activate the environment: source .venv/bin/activate")
    check_addresses(file, plan)
    failed = []
    for experiment, scores in launch(missing):
        if scores is None:
            print(f"{experiment.name}: failed; its log: {log_of(experiment.name)}", flush=True)
            failed.append(experiment.name)
            continue
        kept = add(file, kept, scores, plan.split_by_seed)
        dice = (f"{row['network']} {float(row['dice']):.4f}" for row in scores.networks)
        print(f"{experiment.name}: {', '.join(dice)}", flush=True)
    return failed
