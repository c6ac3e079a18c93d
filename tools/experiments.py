"""Ask questions of several runs each: train the missing ones, then say what the results show.

`run FILE` trains the runs that a file of questions in experiments/ needs and that have no results yet, one
after the other, or with --launcher as tasks of a cluster; after an interruption the same command resumes.
Then, and without a command, the results are read and experiments/results/*.md written.
"""

import json
import re
import shutil
from argparse import SUPPRESS, ArgumentTypeError
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import vl_convert
from filelock import FileLock, Timeout

from segmentation.common.command_line import make_parser, path_argument, run
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
AT_ONCE, MINUTES = 8, 240  # of tasks of a cluster

Launch = Callable[[Sequence[Experiment]], Iterator[tuple[Experiment, RunScores | None]]]


def main(
    command: Literal["run"] | None,
    file: Path | None = None,
    set_param: Sequence[str] = (),
    launcher: Literal["slurm", "local"] | None = None,
    **cluster: Any,
) -> None:
    """Train what FILE needs, if there is one; then write what all results show."""
    if file and (failed := run_missing(file, set_param, launch_by(launcher, **cluster))):
        with suppress(InputError):  # a damaged file is reported the next time
            write_pages()
        raise Fault(f"{len(failed)} runs failed; the first one's log: {log_of(failed[0])}")
    if not write_pages():
        first = "run `python -m tools.experiments run FILE` first"
        raise InputError(f"{FOLDER}/results: no such results; {first}")


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


def launch_by(launcher: Literal["slurm", "local"] | None, **options: Any) -> Launch:
    """Return what trains runs: one after the other, or as tasks of a cluster with `options`."""
    if launcher is None:
        if options:
            raise InputError(f"--{next(iter(options)).replace('_', '-')}: only with --launcher")
        return one_by_one
    if "sbatch" in options and launcher != "slurm":
        raise InputError("--sbatch: only with --launcher slurm")
    at_once, minutes = options.get("at_once", AT_ONCE), options.get("minutes", MINUTES)
    if min(at_once, minutes) < 1:
        raise InputError("--at-once, --minutes: must be at least 1")
    try:
        from segmentation.experiments.launching import Cluster
    except ModuleNotFoundError as error:
        raise InputError(f"needs {error.name}; `pip install -r requirements-cluster.txt`") from None
    return Cluster(launcher, at_once, minutes, dict(options.get("sbatch", ()))).launch


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


def option(text: str) -> tuple[str, str | bool]:
    """Read an option of sbatch, KEY=VALUE or KEY, from the command line."""
    key, equals, value = text.partition("=")
    if not key:
        raise ArgumentTypeError(f"{text}: must be KEY=VALUE or KEY")
    return key, value if equals else True


if __name__ == "__main__":
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(dest="command")
    help_text = "train the runs that a file of questions needs"
    run_command = commands.add_parser("run", help=help_text, allow_abbrev=False, argument_default=SUPPRESS)
    run_command.add_argument("file", type=path_argument, help="a file of questions in experiments/")
    help_text = "where an archive is (data.pets.*_url), or machine.*; may be repeated"
    run_command.add_argument("-S", "--set-param", action="append", metavar="KEY=VALUE", help=help_text)
    help_text = "train as tasks of a Slurm cluster, or, to try it, as processes here"
    run_command.add_argument("--launcher", choices=("slurm", "local"), help=help_text)
    help_text = f"how many tasks run at once (default: {AT_ONCE})"
    run_command.add_argument("--at-once", type=int, metavar="N", help=help_text)
    help_text = f"after how long a task is stopped and submitted again, to resume (default: {MINUTES})"
    run_command.add_argument("--minutes", type=int, metavar="N", help=help_text)
    help_text = "an option of sbatch, such as partition=gpu or gres=gpu:1; may be repeated"
    run_command.add_argument("--sbatch", action="append", type=option, metavar="KEY=VALUE", help=help_text)
    run(main, parser)
