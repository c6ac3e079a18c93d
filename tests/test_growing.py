"""What a change costs: a new knob of the evaluation, a third network as docs/extending.md describes it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml
from commands import CHECK, RunHere, dvc, dvc_environment, ran
from projects import TINY, TRAINING, set_params
from recipes import follow, recipe
from safetensors.torch import save_file

STAGES = [CHECK, "download", "split", "compute_stats", *TRAINING]

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
    assert set(json.loads(dvc(project, "status", "--json"))) == {CHECK, "evaluate"}
    assert ran(dvc(project, "repro")) == ["evaluate"]
    assert ran(dvc(project, "repro")) == []


def test_a_typo_in_the_evaluation_is_refused_by_every_stage_before_any_work(
    project: Path, run_here: RunHere
) -> None:
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("bootstrap:", "bootstrapp:"))
    outputs = {each: each.stat().st_mtime_ns for each in project.glob("data/**/*")}
    for stage in STAGES:
        told = run_here(project, f"stages.{stage}")
        assert told.status == 2 and told.stdout == "" and told.stderr.count("\n") == 1
        assert told.stderr.startswith(f"{stage}: error: params.yaml: evaluate.bootstrap is missing; ")
        assert "evaluate.bootstrapp is not a known key (did you mean bootstrap?)" in told.stderr
    assert {each: each.stat().st_mtime_ns for each in project.glob("data/**/*")} == outputs


def test_a_third_network(project: Path, tmp_path: Path) -> None:
    files = recipe("A network")
    assert [path for path, _ in files if path.endswith(".py")] == [
        "segmentation/networks/tiny.py",
        "stages/train_tiny.py",
    ]
    follow(files, project)
    status = json.loads(dvc(project, "status", "--json"))
    assert set(status) == {"train_tiny", "evaluate"}  # the other two networks are not trained again
    output = dvc(project, "repro")
    assert ran(output) == ["train_tiny", "evaluate"]
    lines = output.splitlines()
    assert any(line.startswith("Tiny  ") for line in lines)
    assert any(line.startswith("tiny minus unet") for line in lines)
    assert any(line.startswith("resnet minus unet") for line in lines)
    metrics = json.loads((project / "metrics/test.json").read_text())
    names = ["unet", "resnet", "tiny"]
    assert list(metrics) == [*names, "difference"]
    assert set(metrics["difference"]) == {"resnet", "tiny"}
    gap = metrics["difference"]["tiny"]
    assert gap["dice"] == pytest.approx(metrics["tiny"]["dice"] - metrics["unet"]["dice"], abs=1e-12)
    assert gap["low"] <= gap["dice"] <= gap["high"]
    assert {path.stem for path in (project / "metrics/plots/threshold").iterdir()} == set(names)
    assert json.loads((project / "metrics/train_tiny.json").read_text())["epochs"] == 2
    assert ran(dvc(project, "repro")) == []
    assert "tiny" in dvc(project, "plots", "show", "--json")
    # With a folder of its own: otherwise it tidies up those of earlier test runs, gigabytes, for minutes.
    own_folder = f"--basetemp={tmp_path / 'nested'}"
    told = subprocess.run(
        [sys.executable, "-m", "pytest", own_folder, "tests/test_dag.py", "-k", "import or room"],
        cwd=project, env=dvc_environment(), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout


def test_a_pretrained_encoder(project: Path) -> None:
    """The stage and its entries in dvc.yaml are those of the third network, under another name."""
    own, other = recipe("A pretrained encoder"), recipe("A network")[1:]
    assert [path for path, _ in own] == ["segmentation/networks/pretrained.py", "dvc.yaml"]
    for old, new in (("tiny", "pretrained"), ("Tiny", "pretrained ResNet34")):
        other = [(path.replace(old, new), content.replace(old, new)) for path, content in other]
    follow([own[0], *other, own[1]], project)
    weights = project / "weights/resnet34.safetensors"
    weights.parent.mkdir()
    module = ModuleType("pretrained")
    exec(own[0][1], module.__dict__)
    encoder = module.build(TINY["model.width"], dropout=0.0).encoder.state_dict()
    save_file(encoder | {"fc.weight": torch.zeros(3, 4), "fc.bias": torch.zeros(3)}, weights)
    set_params(project, train__lr=1e-12, train__weight_decay=0)
    assert ran(dvc(project, "repro", "train_pretrained")) == ["train_pretrained"]
    trained = torch.load(project / "checkpoints/pretrained.pt", weights_only=True)["weights"]
    for name, weight in encoder.items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(trained[f"encoder.{name}"], weight, rtol=0, atol=1e-9)
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    assert set(json.loads(dvc(project, "status", "--json"))) >= {"train_pretrained"}
