"""Go back to the last commit: params.yaml, dvc.lock, metrics and outputs, whatever was interrupted.

It says what it discards, and asks nothing. All else stays as it is: code, dvc.yaml, documents, other files,
commits, experiments, and the states from which stopped trainings resume.
"""

import json
import re
import time
from contextlib import suppress
from pathlib import Path

import psutil
import yaml

from segmentation.common.command_line import make_parser, run
from segmentation.common.errors import Fault, InputError
from segmentation.params import PARAMS, changed_params, read_params
from segmentation.workspace import LOCK, call

WAIT_S = 60  # for a stage whose DVC was killed: it finishes its step and saves it
KILLED = ("refs/exps/stash", "refs/exps/exec/EXEC_BASELINE")  # a `dvc exp run` that was killed leaves them


def main() -> None:
    """Restore what git tracks of the pipeline, then what DVC does."""
    wait_for_stages()
    stages = yaml.safe_load(call("git", "show", f"HEAD:./{LOCK}"))["stages"].values()
    outputs = [out["path"] for stage in stages for out in stage["outs"]]
    tracked = call(
        "git", "ls-tree", "-r", "--name-only", "HEAD", str(PARAMS), str(LOCK), *outputs
    ).splitlines()
    with suppress(InputError):  # it may be beyond reading
        committed = yaml.safe_load(call("git", "show", f"HEAD:./{PARAMS}"))
        for line in changed_params(committed, read_params(PARAMS)):
            print(f"{PARAMS}: {line}")
    say_discarded(call("git", "diff", "--name-only", "--relative", "HEAD", "--", *tracked).splitlines())
    call("git", "reset", "-q", "HEAD", "--", ".dvc/tmp", *tracked)  # what `dvc exp run` has staged
    call("git", "checkout", "-q", "HEAD", "--", *tracked)
    end_experiment()
    status = json.loads(call("dvc", "data", "status", "--json"))
    say_discarded([path for paths in status.get("uncommitted", {}).values() for path in paths])
    call("dvc", "checkout", "--quiet", "--force", "--allow-missing")
    commit = call("git", "log", "-1", "--format=%h, %s").strip()
    print(f"params, lock, metrics and outputs are those of the last commit: {commit}")
    if missing := status.get("not_in_cache"):
        print(
            f"not in DVC's cache: {', '.join(missing)}; `dvc pull`, or `rm {LOCK} && dvc repro`, brings them"
        )


def say_discarded(paths: list[str]) -> None:
    """Say whose present content is lost."""
    if paths:
        print(f"discarded: {', '.join(sorted(paths))}")


def wait_for_stages() -> None:
    """Wait for stages whose DVC was killed; raises `InputError` if DVC runs here, `Fault` if a stage does."""
    for second in range(WAIT_S + 1):
        stage = None
        for process in psutil.process_iter(["cwd", "cmdline"]):
            command = process.info["cmdline"] or []
            if process.info["cwd"] == str(Path.cwd()):
                name = " ".join([Path(word).name for word in command[1:3]])
                if name in ("dvc repro", "dvc exp") and "--temp" not in command:
                    raise InputError(
                        f"process {process.pid} is running `{name}` here; stop it first (Ctrl-C)"
                    )
                if any(word.startswith("stages.") for word in command):
                    stage = process.pid
        if stage is None:
            return
        if not second:
            print(f"process {stage}, a stage, is ending", flush=True)
        time.sleep(1)
    raise Fault(f"process {stage} is running a stage here; stop it first (`kill {stage}`)")


def end_experiment() -> None:
    """Undo what a killed `dvc exp run` leaves in git: no branch, a planned run, edits laid aside."""
    left = call("git", "for-each-ref", "--format=%(refname)", *KILLED, "refs/stash").splitlines()
    if "refs/stash" in left:
        print("edits of yours are missing? DVC was killed while git's stash held them: `git stash pop`")
    for ref in set(left) & set(KILLED):
        call("git", "update-ref", "-d", ref)
    if call("git", "rev-parse", "--abbrev-ref", "HEAD").strip() == "HEAD" and set(left) & set(KILLED):
        here = call("git", "branch", "--points-at", "HEAD", "--format=%(refname)").splitlines()
        log = call("git", "reflog", "--format=%gs")
        for name in re.findall(r"^checkout: moving from (\S+) to", log, re.M):
            if f"refs/heads/{name}" in here:
                call("git", "symbolic-ref", "HEAD", f"refs/heads/{name}")
                print(f"on branch {name} again, which `dvc exp run` had left")
                break


if __name__ == "__main__":
    run(main, make_parser(__doc__))
