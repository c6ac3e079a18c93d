"""Ask questions of several runs each: train the missing ones, then say what the results show.

`run FILE` trains the runs that a file of questions in experiments/ needs and that have no results yet, one
after the other; after an interruption the same command resumes. Then, and without a command, the results
are read and experiments/results/*.md written.
"""

import json
from pathlib import Path

import vl_convert
from filelock import Timeout

from segmentation.common.command_line import make_parser, run
from segmentation.common.errors import Fault, InputError
from segmentation.common.files import write_bytes
from segmentation.experiments import results, running
from segmentation.experiments.page import comparisons, forest, markdown
from segmentation.experiments.plan import Plan, Run, changes, code_hash, read_plan, runs, settings
from segmentation.runtime.devices import choose_device, describe

FOLDER = Path("experiments")


def main(command: str | None, file: Path | None = None, set_param: list[str] | None = None) -> None:
    """Train what FILE needs, if there is one; then write what all results show."""
    failed = run_missing(file, set_param or []) if command == "run" and file else []
    if failed:
        raise Fault(f"{len(failed)} runs failed; the first one's log: {running.log_of(failed[0])}")
    plans = {path: results.read_results(path) for path in sorted(FOLDER.glob("*.yaml"))}
    if not any(kept.rows for kept in plans.values()):
        first = "run `python -m tools.experiments run FILE` first"
        raise InputError(f"{FOLDER}/results: no such results; {first}")
    for path, kept in plans.items():
        if kept.rows:
            page, plan = results.paths(path)[0].with_suffix(".md"), read_plan(path)
            found = comparisons(plan, kept)
            chart = json.dumps(forest(found) | {"background": "white"})
            write_bytes(page, markdown(path, plan, kept, found).encode())
            write_bytes(page.with_suffix(".svg"), vl_convert.vegalite_to_svg(chart).encode())
            print(f"experiments: {page}")


def run_missing(file: Path, given: list[str]) -> list[str]:
    """Train the runs of FILE that have no results yet; return the names of those that failed."""
    if file.parent.resolve() != FOLDER.resolve() or file.suffix != ".yaml":
        raise InputError(f"{file}: must be a .yaml file in {FOLDER}/")
    plan, params = read_plan(file), settings(given)
    try:
        with running.lock_of(file):
            return take(file, plan, runs(plan, params))
    except Timeout:
        raise Fault(f"{file}: another process runs it; wait for its end, or stop it") from None


def take(file: Path, plan: Plan, wanted: list[Run]) -> list[str]:
    """Train the `wanted` runs that have no results of this code, and keep what they leave."""
    kept, code, failed = results.read_results(file), code_hash(), []
    present = {row["run"] for row in kept.of_code(code)}
    missing = [each for each in wanted if each.key not in present]
    print(f"{file}: {len(wanted)} runs, {len(missing)} missing", flush=True)
    for number, each in enumerate(missing, 1):
        name, changed = f"{file.stem}-{each.key}-{code[:6]}", changes(plan, each)
        print(f"{number} of {len(missing)}: {name} ({changed or 'nothing changed'})", flush=True)
        commit = running.experiment_of(name)
        if not commit and running.run_experiment(name, each):
            commit = running.experiment_of(name)
        if not commit:
            print(f"  failed; its log: {running.log_of(name)}", flush=True)
            failed.append(name)
            continue
        rows, images = running.rows_of(commit, each, code, changed, describe(choose_device()))
        kept = results.add(file, kept, rows, images)
        scores = (f"{row['network']} {float(row['dice']):.4f}" for row in rows)
        print(f"  {', '.join(scores)}", flush=True)
    return failed


if __name__ == "__main__":
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(dest="command")
    run_command = commands.add_parser("run", help="train the runs that a file of questions needs")
    run_command.add_argument("file", type=Path, help="a file of questions in experiments/")
    help_text = "where an archive is (data.pets.*_url), or machine.*; may be repeated"
    run_command.add_argument("-S", "--set-param", action="append", metavar="KEY=VALUE", help=help_text)
    run(main, parser)
