"""Going back to the last commit, whatever was interrupted."""

import json
import re
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import yaml

from segmentation.common.errors import Fault, InputError
from segmentation.common.leaves import differences
from segmentation.params import PARAMS, read_params
from segmentation.workspace import LOCK, call

WAIT_S = 60  # for a stage whose DVC was killed: it finishes its step and saves it


def go_back() -> None:
    """Restore what git tracks of the pipeline, then what DVC does."""
    if not Path(".dvc").is_dir():
        raise InputError(".dvc: no such folder; run from the folder that holds it")
    wait_for_stages()
    lock, params = committed(LOCK), committed(PARAMS)
    outputs = {out["path"] for stage in lock["stages"].values() for out in stage.get("outs", ())}
    paths = call("git", "ls-tree", "-r", "--name-only", "HEAD", str(PARAMS), str(LOCK), *outputs).splitlines()
    with suppress(InputError, AttributeError):  # it may be beyond reading
        if changes := differences(params, read_params(PARAMS)):
            print(f"{PARAMS}: {changes}")
    diff = "git", "diff", "--name-only", "--relative", "--diff-filter=d"
    if changed := ", ".join(call(*diff, "HEAD", "--", *paths).splitlines()):
        print("discarded:", changed)
    call("git", "reset", "-q", "HEAD", "--", ".dvc/tmp", *paths)  # what `dvc exp run` has staged
    call("git", "checkout", "-q", "HEAD", "--", *paths)
    end_experiment()
    missing = ", ".join(check_out(outputs))
    commit = call("git", "log", "-1", "--format=%h %s").strip()
    print("params, lock, metrics and outputs are those of the last commit:", commit)
    if missing:
        print(f"not in DVC's cache: {missing}; `rm {LOCK} && dvc repro` makes them, or `dvc pull` gets them")


def committed(path: Path) -> Any:
    """Return a YAML file as the last commit has it; raises `InputError` if it has none that can be read."""
    try:
        return yaml.safe_load(call("git", "show", f"HEAD:./{path}"))
    except (Fault, yaml.YAMLError) as error:
        why = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: the last commit has none to go back to ({why})") from None


def check_out(outputs: Collection[str]) -> list[str]:
    """Let DVC restore the `outputs`, but nothing that a person added to it; return what its cache lacks."""
    status = json.loads(call("dvc", "data", "status", "--json", "--unchanged"))
    groups = {name: paths for name, paths in status.items() if isinstance(paths, list)}
    groups |= status.get("uncommitted", {})
    ours = {
        name: sorted({path for path in paths if path.rstrip("/") in outputs})
        for name, paths in groups.items()
    }
    if changed := ", ".join(ours.get("modified", [])):
        print("discarded:", changed)
    if targets := {path for paths in ours.values() for path in paths}:  # without any, it would take all
        call("dvc", "checkout", "--quiet", "--force", "--allow-missing", *targets)
    return ours.get("not_in_cache", [])


def wait_for_stages() -> None:
    """Wait for stages whose DVC was killed; raises `InputError` if one goes on, or DVC itself runs here."""
    for attempt in range(WAIT_S):
        running = ""
        for process in psutil.process_iter(["cwd", "cmdline"]):
            words = process.info["cmdline"] or []
            dvc = "dvc" in {Path(word).name for word in words[1:3]} and {"repro", "run"} & {*words[2:]}
            stage = any(word.startswith("stages.") for word in words)
            if (stage or (dvc and "--temp" not in words)) and process.info["cwd"] == str(Path.cwd()):
                running = f"process {process.pid} is at work here ({' '.join(words)[-60:]}); stop it first"
                if dvc:
                    raise InputError(running)
        if not running:
            return
        if attempt == 0:
            print(f"waiting for the stage that still saves its state: {running.split(' is')[0]}", flush=True)
        time.sleep(1)
    raise InputError(running)


def end_experiment() -> None:
    """Undo what a killed `dvc exp run` leaves in git: what it was about to run, and a detached HEAD."""
    refs = Path(call("git", "rev-parse", "--git-path", "refs/exps").strip())
    for lock in refs.rglob("*.lock"):
        lock.unlink(missing_ok=True)
    call("git", "update-ref", "-d", "refs/exps/stash")
    if call("git", "rev-parse", "--abbrev-ref", "HEAD") == "HEAD\n":
        here = call("git", "branch", "--points-at", "HEAD", "--format=%(refname:short)").splitlines()
        log = call("git", "reflog", "--format=%gs")
        for branch, commit in re.findall(r"^checkout: moving from (\S+) to (\S+)$", log, re.M):
            if len(commit) < 40:  # a person's own: DVC writes the whole hash
                break
            if branch in here:
                call("git", "symbolic-ref", "HEAD", f"refs/heads/{branch}")
                break
    if call("git", "stash", "list"):
        print("if edits of yours are missing, DVC was stopped while git's stash held them: `git stash pop`")
