"""Going back to the last commit, whatever was interrupted."""

import json
import re
import time
from contextlib import suppress
from pathlib import Path

import psutil
import yaml

from segmentation.common.errors import InputError
from segmentation.params import PARAMS, differences, flat, read_params
from segmentation.workspace import LOCK, call

WAIT_S = 60  # for a stage whose DVC was killed: it finishes its step and saves it


def go_back() -> None:
    """Restore what git tracks of the pipeline, then what DVC does."""
    if not Path(".dvc").is_dir():
        raise InputError(".dvc: no such folder; run from the folder that holds it")
    wait_for_stages()
    stages = yaml.safe_load(call("git", "show", f"HEAD:./{LOCK}"))["stages"].values()
    outputs = [out["path"] for stage in stages for out in stage["outs"]]
    paths = call("git", "ls-tree", "-r", "--name-only", "HEAD", str(PARAMS), str(LOCK), *outputs).splitlines()
    with suppress(InputError, AttributeError):  # it may be beyond reading
        committed = flat(yaml.safe_load(call("git", "show", f"HEAD:./{PARAMS}")))
        if changes := differences(committed, flat(read_params(PARAMS))):
            print(f"{PARAMS}: {changes}")
    diff = "git", "diff", "--name-only", "--relative", "--diff-filter=d"
    if changed := ", ".join(call(*diff, "HEAD", "--", *paths).splitlines()):
        print("discarded:", changed)
    call("git", "reset", "-q", "HEAD", "--", ".dvc/tmp", *paths)  # what `dvc exp run` has staged
    call("git", "checkout", "-q", "HEAD", "--", *paths)
    end_experiment()
    status = json.loads(call("dvc", "data", "status", "--json"))
    there = {"modified": [], "added": []} | status.get("uncommitted", {})
    if changed := ", ".join(sorted(there["modified"] + there["added"])):
        print("discarded:", changed)
    call("dvc", "checkout", "--quiet", "--force", "--allow-missing")
    commit = call("git", "log", "-1", "--format=%h %s").strip()
    print("params, lock, metrics and outputs are those of the last commit:", commit)
    if missing := ", ".join(sorted(status.get("not_in_cache", []))):
        print(f"not in DVC's cache: {missing}; `dvc pull`, or `rm {LOCK} && dvc repro`, brings them")


def wait_for_stages() -> None:
    """Wait for stages whose DVC was killed; raises `InputError` if one goes on, or DVC itself runs here."""
    for _ in range(WAIT_S):
        running = ""
        for process in psutil.process_iter(["cwd", "cmdline"]):
            words = process.info["cmdline"] or []
            dvc = [Path(word).name for word in words[1:2]] == ["dvc"] and {"repro", "run"} & {*words[2:4]}
            stage = any(word.startswith("stages.") for word in words)
            if (stage or (dvc and "--temp" not in words)) and process.info["cwd"] == str(Path.cwd()):
                running = f"process {process.pid} is at work here ({' '.join(words)[-60:]}); stop it first"
                if dvc:
                    raise InputError(running)
        if not running:
            return
        time.sleep(1)
    raise InputError(running)


def end_experiment() -> None:
    """Undo what a killed `dvc exp run` leaves in git: what it was about to run, and a detached HEAD."""
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
        print("if edits of yours are missing, DVC was killed while git's stash held them: `git stash pop`")
