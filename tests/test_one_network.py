"""One network is enough: with `networks.resnet: false`, U-Net alone is trained, scored and shown."""

import json
from pathlib import Path

import pytest
from commands import RunHere, dvc, ran
from projects import copied, set_params

from segmentation.common.artifacts import DETAILS, PLOTS, TEST_METRICS

OLD = ("checkpoints/resnet.pt", "metrics/train_resnet.json", "metrics/plots/train_resnet.csv")


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A project in which both networks are trained."""
    return copied(finished, tmp_path)


def test_one_network_alone(project: Path, run_here: RunHere) -> None:
    """The stages, and what people read, where an older ResNet34-UNet lies."""
    both = json.loads((project / TEST_METRICS).read_text())
    set_params(project, networks__resnet=False)
    assert "not trained" in run_here(project, "stages.train_resnet").stdout
    ended = run_here(project, "stages.evaluate")
    assert ended.status == 0 and "ResNet" not in ended.stdout
    alone = json.loads((project / TEST_METRICS).read_text())
    assert alone == {"unet": both["unet"]}
    assert list(json.loads((project / DETAILS).read_text())["thresholds"]) == ["unet"]
    for tool in ("summary", "report"):
        ended = run_here(project, f"tools.{tool}")
        assert ended.status == 0 and "resnet" not in ended.stdout.lower()
    page = (project / "report/index.html").read_text()
    assert "U-Net reaches a mean Dice of" in page and "<td>ResNet34-UNet</td>" not in page
    ended = run_here(project, "tools.predict", next((project / "data/raw/images").glob("*.jpg")))
    assert ended.status == 0 and ended.stdout.startswith("checkpoints/unet.pt")
    predict = ("tools.predict", "--model", "resnet", "data/raw/images")
    for command in (predict, ("tools.export", "--model", "resnet"), ("tools.serve", "--checkpoint", OLD[0])):
        refused = run_here(project, *command)
        assert refused.status == 2 and "not trained, as networks.resnet was false" in refused.stderr


def test_the_other_one_alone(project: Path, run_here: RunHere) -> None:
    set_params(project, networks__unet=False)
    assert run_here(project, "stages.train_unet").status == 0
    assert run_here(project, "stages.evaluate").status == 0
    assert list(json.loads((project / TEST_METRICS).read_text())) == ["resnet"]
    assert run_here(project, "tools.report").status == 0


@pytest.mark.slow
def test_dvc_trains_nothing_else_and_comes_back_from_its_cache(project: Path, tmp_path: Path) -> None:
    before = {path: (project / path).read_bytes() for path in OLD}
    output = dvc(project, "exp", "run", "-S", "networks.resnet=false", "--name", "alone")
    assert ran(output) == ["train_resnet", "evaluate"] and "epoch 1" not in output
    assert "WARNING" not in output
    shown = dvc(project, "plots", "diff", "--out", str(tmp_path / "plots"))
    assert "failed" not in shown and (tmp_path / "plots/index.html").exists()
    changes = json.loads(dvc(project, "metrics", "diff", "--json"))["metrics/test.json"]
    assert all(key.startswith(("resnet.", "difference.")) for key in changes)
    assert ran(dvc(project, "exp", "run", "-S", "networks.resnet=true")) == []
    assert before == {path: (project / path).read_bytes() for path in OLD}


@pytest.mark.slow
def test_it_is_never_trained_where_it_never_was(prepared: Path, tmp_path: Path) -> None:
    project = copied(prepared, tmp_path)
    set_params(project, networks__resnet=False, train__epochs=1)
    (project / "dvc.lock").unlink(missing_ok=True)
    output = dvc(project, "repro", "evaluate")
    assert "U-Net" in output and "resnet: epoch" not in output
    assert list(json.loads((project / TEST_METRICS).read_text())) == ["unet"]
    assert (project / PLOTS / "threshold/resnet.csv").read_text().count("\n") == 1  # no rows
    assert ran(dvc(project, "repro")) == []
