"""The pipeline under the real DVC, in a clone of its own with params that train in seconds."""

import hashlib
import json
import shutil
import time
from pathlib import Path

import pytest
from conftest import TRAINING, dvc, ran, run_stage, set_params
from PIL import Image

from segmentation.common import dataset_layout as layout

OUTPUTS = ["data/split.json", "checkpoints/unet.pt", "metrics/test.json", "metrics/plots/train_unet.csv"]


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def cached(project: Path) -> dict[Path, str]:
    """The md5 of every object in DVC's cache."""
    files = [path for path in (project / ".dvc/cache/files/md5").glob("*/*") if path.is_file()]
    return {path: md5(path) for path in files}


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "project", symlinks=True))


def test_a_second_repro_runs_nothing(project: Path) -> None:
    before = (project / "dvc.lock").read_bytes()
    output = dvc(project, "repro")
    assert ran(output) == [] and "up to date" in output
    assert (project / "dvc.lock").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ({"train__lr": 1e-4}, {"train_unet", "train_resnet"}),
        ({"train__lr": 0.002}, set()),  # what it is already
        ({"evaluate__bootstrap": 200}, {"evaluate"}),
        ({"image__size": 64}, {"train_unet", "train_resnet"}),
        ({"data__limit": 12}, {"split"}),
        ({"data__seed": 5}, {"download"}),
        ({"data__foreground": ["border"]}, {"train_unet", "train_resnet"}),
    ],
    ids=str,
)
def test_a_param_changes_the_stages_that_use_it(
    project: Path, change: dict[str, object], first: set[str]
) -> None:
    set_params(project, **change)
    assert set(json.loads(dvc(project, "status", "--json"))) == first


def test_an_evaluation_param_reruns_evaluate_alone(project: Path) -> None:
    set_params(project, evaluate__bootstrap=200)
    assert ran(dvc(project, "repro")) == ["evaluate"]


def test_what_is_the_same_again_is_not_run_on(project: Path) -> None:
    set_params(project, data__max_dropped=0.5)  # the split runs, and finds what it found before
    assert ran(dvc(project, "repro")) == ["split"]


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("scoring/scores", {"train_unet", "train_resnet", "evaluate"}),
        ("evaluation/overlays", {"evaluate"}),
        ("training/loop", {"train_unet", "train_resnet"}),
        ("pixel_stats", {"compute_stats", "train_unet", "train_resnet"}),
        ("splitting", {"split"}),
        ("sources/sample/painting", {"download"}),
    ],
)
def test_a_change_of_code_changes_the_stages_that_import_it(
    project: Path, module: str, expected: set[str]
) -> None:
    file = project / f"segmentation/{module}.py"
    file.write_text(file.read_text() + "\n# changed\n")
    assert set(json.loads(dvc(project, "status", "--json"))) == expected


def test_the_learning_rate_reruns_training_and_evaluation_only(project: Path) -> None:
    set_params(project, train__lr="1e-4")
    assert ran(dvc(project, "repro")) == TRAINING
    changes = json.loads(dvc(project, "metrics", "diff", "--json"))["metrics/test.json"]
    assert changes["unet.dice_report"]["diff"] != 0
    set_params(project, train__lr=0.002)  # back: everything comes out of the cache
    assert ran(dvc(project, "repro")) == []
    assert json.loads(dvc(project, "metrics", "diff", "--json")) == {}


def test_running_stages_by_hand_leaves_the_cache_intact(project: Path) -> None:
    outputs = {path: md5(project / path) for path in OUTPUTS}
    before = cached(project)
    assert before and all(
        path.parent.name + path.name.removesuffix(".dir") == digest for path, digest in before.items()
    )
    set_params(project, train__seed=7, data__seed=9)  # so that every output becomes another
    for stage in ("download", "split", "compute_stats", *TRAINING):
        assert run_stage(project, stage).returncode == 0
    after = cached(project)
    assert after == before
    set_params(project, train__seed=0, data__seed=0)
    assert ran(dvc(project, "repro")) == []  # everything can be had back
    assert outputs == {path: md5(project / path) for path in OUTPUTS}


def test_a_bad_param_loses_nothing(project: Path) -> None:
    checkpoint = (project / "checkpoints/unet.pt").read_bytes()
    metrics = (project / "metrics/train_unet.json").read_bytes()
    set_params(project, train__lr=-1)
    assert "train.lr = -1: must be greater than 0 (allowed: > 0 and <= 10)" in dvc(
        project, "repro", status=255
    )
    set_params(project, train__lr=0.002)
    assert ran(dvc(project, "repro")) == []
    assert (project / "checkpoints/unet.pt").read_bytes() == checkpoint
    assert (project / "metrics/train_unet.json").read_bytes() == metrics


def own_folder(path: Path) -> Path:
    for name in ("images", "masks"):
        (path / name).mkdir(parents=True)
    for i in range(12):
        Image.new("RGB", (40, 40), (20 * i, 0, 0)).save(path / f"images/{i}.png")
        Image.new("L", (40, 40), 255 * (i % 2)).save(path / f"masks/{i}.png")
    return path


@pytest.mark.parametrize("outside", [True, False])
def test_a_changed_picture_of_ones_own_reruns_what_depends_on_it(
    project: Path, tmp_path: Path, outside: bool
) -> None:
    own = own_folder(tmp_path / "own" if outside else project / "data/folder")
    path = str(own) if outside else "data/folder"
    set_params(project, data__source="folder", data__folder__path=path, data__limit=None)
    assert ran(dvc(project, "repro", "compute_stats")) == ["download", "split", "compute_stats"]
    assert layout.image_path(project / layout.RAW, "3").is_file()
    assert ran(dvc(project, "repro", "compute_stats")) == []
    Image.new("RGB", (40, 40), (0, 99, 0)).save(own / "images/3.png")
    assert ran(dvc(project, "repro", "compute_stats"))[:2] == ["download", "split"]


@pytest.mark.slow
def test_experiments(project: Path) -> None:
    output = dvc(project, "exp", "run", "-S", "train.lr=1e-4", "--name", "slow")
    assert ran(output) == TRAINING
    assert "train.lr" in (table := dvc(project, "exp", "show", "--only-changed", "--md"))
    assert "slow" in table and "0.0001" in table
    assert "unet.dice" in dvc(project, "metrics", "diff", "--md")
    assert "| metrics/train_unet.json" in dvc(project, "metrics", "diff", "--md")
    dvc(project, "plots", "diff", "--out", "plots")
    page = (project / "plots/index.html").read_text()
    assert "train_unet.csv" in page or "val_loss" in page


@pytest.mark.slow
def test_the_queue_runs_two_tasks(project: Path) -> None:
    for lr in ("1e-3", "0.00001"):
        dvc(project, "exp", "run", "--queue", "-S", f"train.lr={lr}", "--name", f"lr-{lr.replace('.', '_')}")
    assert dvc(project, "queue", "status").count("Queued") == 2
    dvc(project, "queue", "start", "-j", "1")
    deadline = time.monotonic() + 240
    while (status := dvc(project, "queue", "status")).count("Success") < 2:
        assert "Failed" not in status and time.monotonic() < deadline, status
        time.sleep(2)
    table = dvc(project, "exp", "show", "--only-changed", "--md")
    assert "lr-1e-3" in table and "1e-05" in table
    dvc(project, "queue", "stop")
