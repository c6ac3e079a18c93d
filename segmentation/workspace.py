"""The project's folder as git and DVC know it."""

import subprocess
import sys
from pathlib import Path

from segmentation.common.artifacts import CHECKPOINTS, SPLIT, TEST_METRICS
from segmentation.common.errors import Fault
from segmentation.common.files import md5_of
from segmentation.common.leaves import differences, flat
from segmentation.params import PARAMS

LOCK = Path("dvc.lock")


def call(*command: str) -> str:
    """Run a short command and return what it printed; raises `Fault` with its error if it fails."""
    # The environment, on whose PATH `dvc` is, need not be active.
    program = [sys.executable, "-m", "dvc"] if command[0] == "dvc" else command[:1]
    ended = subprocess.run([*program, *command[1:]], capture_output=True, text=True, check=False)
    if ended.returncode:
        said = (ended.stderr.strip() or ended.stdout.strip() or "it says nothing").splitlines()
        error = next((line for line in said if line.startswith("ERROR: ")), said[0])
        raise Fault(f"`{' '.join(command[:3])}` failed: {error}")
    return ended.stdout


def other_results() -> str:
    """Say in one line how the results in metrics/ differ from the params and data here; empty if they do not.

    Empty too where dvc.lock does not know these results, as after stages that were run without DVC.
    """
    from ruamel.yaml import YAML  # prediction without a project does without
    from ruamel.yaml.error import YAMLError

    read = YAML(typ="safe").load  # 1e-05, which DVC writes, is no number to PyYAML
    try:
        stages, present = read(LOCK)["stages"], flat(read(PARAMS))
        stages.pop("check_params", None)  # it runs long before there are results
        evaluate = stages["evaluate"]
        files = {file["path"]: file["md5"] for file in evaluate["deps"] + evaluate["outs"]}
        groups = [stage.get("params", {}).get(str(PARAMS), {}) for stage in stages.values()]
    except (OSError, YAMLError, ValueError, LookupError, TypeError, AttributeError):
        return ""
    if files.get(str(TEST_METRICS)) != md5_of(TEST_METRICS):
        return ""
    # What is missing, as in a fresh clone, is no other one.
    inputs = (str(SPLIT), f"{CHECKPOINTS}/")
    used = {path: md5 for path, md5 in files.items() if path.startswith(inputs) and Path(path).exists()}
    then = {name: value for group in groups for name, value in flat(group).items()}
    now = {name: present.get(name) for name in then} | {path: md5_of(Path(path)) for path in used}
    changes = differences(then | used, now)
    remedy = "`dvc repro` makes those of what is here, `make back` goes back to the last commit"
    return f"results of other params or data ({changes}): {remedy}" if changes else ""
