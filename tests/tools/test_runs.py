"""`python -m tools.runs`: one line a run, in 100 columns."""

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from commands import RunHere, dvc, dvc_environment, start_queue
from projects import copied, set_params

from tools.runs import read_runs, table


def shown(name: str | None, params: dict[str, Any], scores: dict[str, float]) -> dict[str, Any]:
    """A run as `dvc exp show --json` gives it."""
    test = {
        key: {"dice": dice, "dice_low": dice - 0.01, "dice_high": dice + 0.02} for key, dice in scores.items()
    }
    metrics = {"metrics/test.json": {"data": test | {"difference": {}}}}
    data = {"params": {"params.yaml": {"data": params}}, "metrics": metrics}
    return {"rev": "0123456789", "name": name, "data": data}


def experiment(name: str | None, state: str | None, run: dict[str, Any]) -> dict[str, Any]:
    return {"revs": [run], "name": name, "executor": state and {"state": state}}


def test_what_differs_from_the_last_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # without a lock, nothing says that the results are of other params
    params = {"train": {"lr": 0.1, "seed": 0}, "data": {"seed": 0}, "image": {"size": 64}}
    better = shown(None, params | {"train": {"lr": 0.1, "seed": 1}}, {"unet": 0.9})
    commit = shown("main", params, {"unet": 0.875, "resnet": 0.8})
    smaller = shown(None, params | {"image": {"size": 32}}, {"unet": 0.875, "resnet": 0.8})
    unreadable = {"rev": "abcdefghij", "data": None}
    commit["experiments"] = [
        experiment("seed", "success", better),
        experiment(None, None, better),
        *(experiment(state, state, smaller) for state in ("queued", "running", "failed")),
        experiment(None, "success", unreadable),
    ]
    header, *rows = table(list(read_runs([shown(None, params, {"unet": 0.875}), commit])), whole_names=False)
    assert header == ["run", "state", "unet, 95 %, change", "resnet, 95 %, change", "params"]
    found = ["0.900 .890-.920 +0.025", "", "train.seed=1"]  # there is data.seed too
    assert rows == [
        ["main", "commit", "0.875 .865-.895", "0.800 .790-.820", ""],
        ["workspace", "", "0.875 .865-.895 +0.000", "", ""],
        ["seed", "finished", *found],
        ["0123456", "finished", *found],
        *([state, state, "", "", "size=32"] for state in ("queued", "running", "failed")),
        ["abcdefg", "finished", "", "", ""],
    ]


@pytest.mark.slow
def test_experiments_of_dvc(finished: Path, tmp_path: Path, run_here: RunHere) -> None:
    project = copied(finished, tmp_path)
    name = "a-name-that-is-longer-than-the-column"
    dvc(project, "exp", "run", "-S", "evaluate.bootstrap=200", "--name", name)
    for queued, change in (
        ("rounded", "train.precision=tf32"),
        ("long", "train.epochs=99999"),
        ("next", "train.lr=1"),
    ):
        changes = ["-S", change, "-S", "image.size=64", "-S", "data.folder.path=data/folder/../folder"]
        dvc(project, "exp", "run", "--queue", "--name", queued, *changes)
    start_queue(project)
    try:
        deadline = time.monotonic() + 300
        while not re.search("^long +running", printed := run_here(project, "tools.runs").stdout, re.M):
            assert time.monotonic() < deadline
            time.sleep(1)
        set_params(project, train__lr=0.5)
        whole = run_here(project, "tools.runs", "--md")
    finally:
        dvc(project, "queue", "stop", "--kill")
    lines = printed.splitlines()
    assert max(map(len, lines)) <= 100
    states = {line.split()[0]: line.split()[1] for line in lines}
    assert states[name[:18]] == "finished" and states["rounded"] == "failed"
    assert states["long"] == "running" and states["next"] == "queued"
    (row,) = (line for line in lines if line.startswith(name[:18]))
    assert row.endswith("bootstrap=200") and "+0.000" in row
    assert whole.status == 0, whole.stderr
    assert f"| {name} | finished" in whole.stdout and "train.lr=0.5 |" in whole.stdout


def test_where_there_is_no_git(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-m", "tools.runs"],
        cwd=tmp_path, env=dvc_environment() | {"PYTHONPATH": str(root)}, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 1 and ended.stderr.startswith("runs: error: `dvc exp show` failed: ")
    assert ended.stderr.count("\n") == 1
