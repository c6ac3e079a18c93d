"""Ask questions of several runs each: train the missing ones, then say what the results show.

`run FILE` trains the runs that a file of questions in experiments/ needs and that have no results yet, one
after the other; after an interruption the same command resumes. Then, and without a command, the results
are read and experiments/results/*.md written.
"""

import json
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import vl_convert
from filelock import Timeout

from segmentation.common.command_line import make_parser, run
from segmentation.common.errors import Fault, InputError
from segmentation.common.files import write_bytes
from segmentation.experiments import results, running
from segmentation.experiments.comparisons import comparisons
from segmentation.experiments.page import forest, markdown
from segmentation.experiments.plan import Plan, Run, changes, code_hash, read_plan, runs, settings
from segmentation.experiments.running import Found, Task

FOLDER = Path("experiments")

Launch = Callable[[Sequence[Task]], Iterator[tuple[Task, Found | None]]]


def main(
    command: str | None,
    file: Path | None = None,
    set_param: list[str] | None = None,
    launcher: Literal["slurm", "local"] | None = None,
    sbatch: list[tuple[str, str]] | None = None,
    at_once: int = 1,
    minutes: int = 0,
) -> None:
    """Train what FILE needs, if there is one; then write what all results show."""
    if command == "run" and file:
        launch = launch_by(launcher, at_once, minutes, dict(sbatch or ())) if launcher else running.one_by_one
        if failed := run_missing(file, set_param or [], launch):
            raise Fault(f"{len(failed)} runs failed; the first one's log: {running.log_of(failed[0])}")
    plans = {path: results.read_results(path) for path in sorted(FOLDER.glob("*.yaml"))}
    if not any(kept.rows for kept in plans.values()):
        first = "run `python -m tools.experiments run FILE` first"
        raise InputError(f"{FOLDER}/results: no such results; {first}")
    for path, kept in plans.items():
        if kept.rows:
            page, plan = results.paths(path)[0].with_suffix(".md"), read_plan(path)
            found = comparisons(plan, kept)
            write_bytes(page, markdown(path, plan, kept, found).encode())
            if found:
                chart = json.dumps(forest(found) | {"background": "white"})
                write_bytes(page.with_suffix(".svg"), vl_convert.vegalite_to_svg(chart).encode())
            print(f"experiments: {page}")


def launch_by(
    launcher: Literal["slurm", "local"], at_once: int, minutes: int, sbatch: dict[str, str]
) -> Launch:
    """Return what starts runs as tasks of a cluster."""
    if min(at_once, minutes) < 1:
        raise InputError("--at-once, --minutes: must be at least 1")
    try:
        from segmentation.experiments.launching import Cluster
    except ModuleNotFoundError as error:
        raise InputError(f"needs {error.name}; `pip install -r requirements-cluster.txt`") from None
    return Cluster(launcher, at_once, minutes, sbatch).launch


def run_missing(file: Path, given: list[str], launch: Launch) -> list[str]:
    """Train the runs of FILE that have no results yet; return the names of those that failed."""
    if file.parent.resolve() != FOLDER.resolve() or file.suffix != ".yaml":
        raise InputError(f"{file}: must be a .yaml file in {FOLDER}/")
    plan, params = read_plan(file), settings(given)
    try:
        with running.lock_of(file):
            return take(file, plan, runs(plan, params), launch)
    except Timeout:
        raise Fault(f"{file}: another process runs it; wait for its end, or stop it") from None


def take(file: Path, plan: Plan, wanted: list[Run], launch: Launch) -> list[str]:
    """Train the `wanted` runs that have no results of this code, and keep what they leave."""
    kept, code, failed = results.read_results(file), code_hash(), []
    present = {row["run"] for row in kept.of_code(code)}
    tasks = [
        Task(f"{file.stem}-{each.key}-{code[:6]}", each, code, changes(plan, each))
        for each in wanted
        if each.key not in present
    ]
    print(f"{file}: {len(wanted)} runs, {len(tasks)} missing", flush=True)
    for task, found in launch(tasks):
        if found is None:
            print(f"{task.name}: failed; its log: {running.log_of(task.name)}", flush=True)
            failed.append(task.name)
            continue
        kept = results.add(file, kept, found.rows, found.images)
        scores = (f"{row['network']} {float(row['dice']):.4f}" for row in found.rows)
        print(f"{task.name}: {', '.join(scores)}", flush=True)
    return failed


def pair(text: str) -> tuple[str, str]:
    """Read KEY=VALUE from the command line."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise ArgumentTypeError(f"{text}: must be KEY=VALUE")
    return key, value


if __name__ == "__main__":
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(dest="command")
    run_command = commands.add_parser("run", help="train the runs that a file of questions needs")
    run_command.add_argument("file", type=Path, help="a file of questions in experiments/")
    help_text = "where an archive is (data.pets.*_url), or machine.*; may be repeated"
    run_command.add_argument("-S", "--set-param", action="append", metavar="KEY=VALUE", help=help_text)
    help_text = "train as tasks of a Slurm cluster, or, to try it, as processes here"
    run_command.add_argument("--launcher", choices=("slurm", "local"), help=help_text)
    help_text = "how many tasks run at once (default: %(default)s)"
    run_command.add_argument("--at-once", type=int, default=8, metavar="N", help=help_text)
    help_text = (
        "after how long a task is stopped and submitted again (default: %(default)s); its training resumes"
    )
    run_command.add_argument("--minutes", type=int, default=240, metavar="N", help=help_text)
    help_text = "an option of sbatch, such as partition=gpu or gres=gpu:1; may be repeated"
    run_command.add_argument("--sbatch", action="append", type=pair, metavar="KEY=VALUE", help=help_text)
    run(main, parser)
