"""The project's folder as git and DVC know it."""

import hashlib
import subprocess
from pathlib import Path

import yaml

from segmentation.common.artifacts import CHECKPOINTS, SPLIT, TEST_METRICS
from segmentation.common.errors import Fault
from segmentation.params import PARAMS, changed_params, read_params

LOCK = Path("dvc.lock")
SHOWN = 4  # differences in a line


def call(*command: str) -> str:
    """Run a short command and return what it printed; raises `Fault` with its last line if it fails."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        said = (ended.stderr.strip() or ended.stdout.strip() or "it says nothing").splitlines()
        raise Fault(f"`{' '.join(command[:3])}` failed: {said[-1]}")
    return ended.stdout


def other_results() -> str:
    """Say in one line how the results in metrics/ differ from the params and data here; empty if they do not.

    Empty too where dvc.lock does not know these results, as after stages that were run without DVC.
    """
    try:
        stages = yaml.safe_load(LOCK.read_text(encoding="utf-8"))["stages"]
        evaluate = stages["evaluate"]
        files = {Path(file["path"]): file["md5"] for file in evaluate["deps"] + evaluate["outs"]}
        params = [
            stage.get("params", {}).get(str(PARAMS), {})
            for name, stage in stages.items()
            if name != "check_params"  # which runs long before there are results
        ]
    except (OSError, yaml.YAMLError, LookupError, TypeError):
        return ""
    if files.get(TEST_METRICS) != _md5(TEST_METRICS):
        return ""
    present = read_params(PARAMS)
    found = list(dict.fromkeys(line for then in params for line in changed_params(then, present)))
    for path, md5 in files.items():
        if (path == SPLIT or path.parent == CHECKPOINTS) and md5 != _md5(path):
            found.append(f"another {path}")
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    remedy = "`dvc repro` makes those of what is here, `make back` goes back to the last commit"
    return f"results of other params or data ({'; '.join(found[:SHOWN])}{more}): {remedy}" if found else ""


def _md5(path: Path) -> str | None:
    return hashlib.md5(path.read_bytes()).hexdigest() if path.is_file() else None
