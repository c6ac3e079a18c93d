"""Ask questions of several runs each: train what is missing, then say what the results show.

Without a command the kept results are read, and experiments/results/*.md written. `run FILE` trains first
what a file of questions needs and is not there yet, in DVC's queue; a run that was stopped resumes.
"""

import json
from pathlib import Path

import vl_convert

from segmentation.common.command_line import make_parser, run
from segmentation.common.errors import Fault, InputError
from segmentation.common.files import write_bytes
from segmentation.experiments import queue, results
from segmentation.experiments.page import comparisons, forest, markdown
from segmentation.experiments.plan import changes, code_hash, read_plan, runs
from segmentation.runtime.devices import choose_device, describe

FOLDER = Path("experiments")


def main(command: str | None, file: Path | None = None, set_param: list[str] | None = None) -> None:
    """Run what is missing of FILE, or nothing; then write what all results show."""
    failed = take_missing(file, set_param or []) if command == "run" and file else []
    written = False
    for path in sorted(FOLDER.glob("*.yaml")):
        kept = results.read_results(path)
        if kept.rows:
            page, plan = results.paths(path)[0].with_suffix(".md"), read_plan(path)
            write_bytes(page, markdown(path, plan, kept).encode())
            chart = json.dumps(forest(comparisons(plan, kept)) | {"background": "white"})
            write_bytes(page.with_suffix(".svg"), vl_convert.vegalite_to_svg(chart).encode())
            print(f"experiments: {page}")
            written = True
    if not written and not failed:
        raise InputError(
            f"{FOLDER}/results: no such results yet; `python -m tools.experiments run FILE` first"
        )
    if failed:
        raise Fault(f"{len(failed)} runs failed; the log of the first: `dvc queue logs {failed[0]}`")


def take_missing(file: Path, given: list[str]) -> list[str]:
    """Train what FILE needs and is not there; return the names of the runs that failed."""
    plan, params, code = read_plan(file), queue.settings(given), code_hash()
    wanted, kept = runs(plan, params), results.read_results(file)
    there = {row["run"] for row in kept.of_code(code)}
    missing = {f"{file.stem}-{each.key}-{code[:6]}": each for each in wanted if each.key not in there}
    print(f"{file}: {len(wanted)} runs, {len(missing)} missing", flush=True)
    hardware, done = describe(choose_device()), 0

    def finished(name: str, commit: str) -> None:
        nonlocal kept, done
        each, done = missing[name], done + 1
        changed = changes(plan, each)
        rows, images = queue.rows_of(commit, each, code, changed, hardware)
        kept = results.add(file, kept, rows, images)
        scores = ", ".join(f"{row['network']} {float(row['dice']):.4f}" for row in rows)
        print(f"{done} of {len(missing)}: {name} ({changed}): {scores}", flush=True)

    return list(queue.take(missing, finished, lambda line: print(line, flush=True)))


if __name__ == "__main__":
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(dest="command")
    run_command = commands.add_parser("run", help="train what a file of questions needs and is not there")
    run_command.add_argument("file", type=Path)
    run_command.add_argument("-S", "--set-param", action="append", metavar="KEY=VALUE", help="an address")
    run(main, parser)
