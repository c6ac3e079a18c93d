"""What a change costs: a new knob of the evaluation, a third network as docs/extending.md describes it."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import TRAINING, dvc, dvc_environment, ran, set_params
from pytest import MonkeyPatch

ROOT = Path(__file__).parents[1]
STAGES = ["download", "split", "compute_stats", *TRAINING]

pytestmark = pytest.mark.slow


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "project", symlinks=True))


def with_new_key(project: Path) -> None:
    """Add `evaluate.examples` to the schema and to params.yaml."""
    schema = project / "segmentation/params.py"
    knob = "    bootstrap: Annotated[Whole, Field(ge=100, le=1_000_000)]\n"
    assert knob in schema.read_text()
    schema.write_text(
        schema.read_text().replace(knob, f"{knob}    examples: Annotated[Whole, Field(ge=1, le=9)]\n")
    )
    path = project / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["evaluate"]["examples"] = 3
    path.write_text(yaml.safe_dump(params))


def test_a_new_key_of_the_evaluation_reruns_evaluate_alone(project: Path) -> None:
    with_new_key(project)
    assert set(json.loads(dvc(project, "status", "--json"))) == {"evaluate"}
    assert ran(dvc(project, "repro")) == ["evaluate"]
    set_params(project, evaluate__examples=4)
    assert ran(dvc(project, "repro")) == ["evaluate"]
    assert ran(dvc(project, "repro")) == []


def test_a_typo_in_the_evaluation_is_refused_by_every_stage_before_any_work(project: Path) -> None:
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("bootstrap:", "bootstrapp:"))
    outputs = {each: each.stat().st_mtime_ns for each in project.glob("data/**/*")}
    for stage in STAGES:
        told = subprocess.run(
            [sys.executable, "-m", f"stages.{stage}"],
            cwd=project, env=dvc_environment(), capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert told.returncode == 2 and told.stdout == "" and told.stderr.count("\n") == 1
        assert told.stderr.startswith(f"{stage}: error: params.yaml: evaluate.bootstrap is missing; ")
        assert "evaluate.bootstrapp is not a known key (did you mean bootstrap?)" in told.stderr
    assert {each: each.stat().st_mtime_ns for each in project.glob("data/**/*")} == outputs


def recipe() -> list[tuple[str, str]]:
    """The files of the section on networks in docs/extending.md, in order: each path, and what it gets."""
    text = (ROOT / "docs/extending.md").read_text()
    section = text[re.search(r"^## .*network", text, re.M | re.I).start() :]  # type: ignore[union-attr]
    section = section[: (re.search(r"^## ", section[3:], re.M) or re.search(r"\Z", section)).start() + 3]  # type: ignore[union-attr]
    return re.findall(r"`([\w/]+\.(?:py|yaml))`[^`]*?\n+```\w+\n(.*?)```", section, re.S)


def merged(old: Any, new: Any) -> Any:
    """`old` with `new` put in: mappings by key, lists at their end, entries of one key by that key."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {key: merged(old[key], value) if key in old else value for key, value in new.items()}
    if isinstance(old, list) and isinstance(new, list):
        result = list(old)
        for item in new:
            same = [each for each in result if isinstance(each, dict) and isinstance(item, dict)]
            same = [each for each in same if each.keys() == item.keys()]
            if same:
                result[result.index(same[0])] = merged(same[0], item)
            elif item not in result:
                result.append(item)
        return result
    return new


def test_a_third_network(project: Path, monkeypatch: MonkeyPatch) -> None:
    files = recipe()
    assert [path for path, _ in files if path.endswith(".py")] == [
        "segmentation/networks/tiny.py",
        "stages/train_tiny.py",
    ]
    for path, content in files:
        target = project / path
        if path.endswith(".py"):
            assert not target.exists()
            target.write_text(content)
        else:
            pipeline = merged(yaml.safe_load(target.read_text()), yaml.safe_load(content))
            target.write_text(yaml.safe_dump(pipeline, sort_keys=False))
    status = json.loads(dvc(project, "status", "--json"))
    assert set(status) == {"train_tiny", "evaluate"}  # the other two networks are not trained again
    output = dvc(project, "repro")
    assert ran(output) == ["train_tiny", "evaluate"]
    lines = output.splitlines()
    assert any(line.startswith("tiny minus unet") for line in lines)
    assert any(line.startswith("resnet minus unet") for line in lines)
    metrics = json.loads((project / "metrics/test.json").read_text())
    names = ["unet", "resnet", "tiny"]
    assert list(metrics) == [*names, "difference", "baselines"]
    assert set(metrics["difference"]) == {"resnet", "tiny"}
    gap = metrics["difference"]["tiny"]
    assert gap["dice"] == pytest.approx(metrics["tiny"]["dice"] - metrics["unet"]["dice"], abs=1e-12)
    assert gap["low"] <= gap["dice"] <= gap["high"]
    assert {path.stem for path in (project / "metrics/plots/overlays").iterdir()} == set(names)
    assert json.loads((project / "metrics/train_tiny.json").read_text())["epochs"] == 2
    assert ran(dvc(project, "repro")) == []
    assert "tiny" in dvc(project, "plots", "show", "--json")
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/test_dag.py", "-k", "import or room"],
        cwd=project, env=dvc_environment(), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout
