"""The pipeline under the real DVC, in a clone of its own with params that train in seconds."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import CHECK, dvc, ran, run_stage
from content import digest, digests
from dvc.repo import Repo
from PIL import Image
from projects import STAGES, TRAINING, copied, git, set_params

from segmentation.common import artifacts
from segmentation.common import dataset_layout as layout

OUTPUTS = [
    "data/split.json",
    "checkpoints/unet.pt",
    "metrics/test.json",
    "metrics/train_unet.json",
    "metrics/plots/train_unet.csv",
]


def cached(project: Path) -> dict[Path, str]:
    """The md5 of every object in DVC's cache."""
    files = [path for path in (project / ".dvc/cache/files/md5").glob("*/*") if path.is_file()]
    return {path: digest(path, "md5") for path in files}


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    return copied(finished, tmp_path)


@pytest.fixture(scope="module")
def shared_project(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project for tests that change one file and put it back."""
    return copied(finished, tmp_path_factory.mktemp("shared"))


@pytest.fixture
def restored(shared_project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The shared project as the present folder; afterwards its params and its code are as before."""
    monkeypatch.chdir(shared_project)
    files = [shared_project / "params.yaml", *(shared_project / "segmentation").rglob("*")]
    before = {path: path.read_bytes() for path in files if path.is_file()}
    yield shared_project
    for path in (shared_project / "segmentation").rglob("*"):
        if path.is_file() and path not in before:
            path.unlink()
    for path, content in before.items():
        if path.read_bytes() != content:
            path.write_bytes(content)


def changed_stages() -> set[str]:
    """The stages that `dvc status` names in the present folder; by its library, which saves a process."""
    with Repo() as repo:
        return set(repo.status()) - {CHECK}


def check_is_due() -> bool:
    with Repo() as repo:
        return CHECK in repo.status()


def test_a_second_repro_runs_nothing(project: Path) -> None:
    before = (project / "dvc.lock").read_bytes()
    output = dvc(project, "repro")
    assert ran(output) == [] and "up to date" in output
    assert (project / "dvc.lock").read_bytes() == before


def test_the_library_and_the_command_say_the_same(restored: Path) -> None:
    assert changed_stages() == set(json.loads(dvc(restored, "status", "--json"))) == set()
    set_params(restored, evaluate__bootstrap=200)
    assert changed_stages() == set(json.loads(dvc(restored, "status", "--json"))) - {CHECK} == {"evaluate"}


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ({"train__lr": 1e-4}, {"train_unet", "train_resnet"}),
        ({"train__lr": 0.01}, set()),  # the present value
        ({"evaluate__bootstrap": 200}, {"evaluate"}),
        ({"image__size": 64}, {"split", "train_unet", "train_resnet"}),
        ({"image__resize": "linear"}, {"split", "train_unet", "train_resnet"}),
        ({"data__limit": 12}, {"split"}),
        ({"data__seed": 5}, {"download", "split"}),
        ({"data__foreground": ["border"]}, {"split", "train_unet", "train_resnet"}),
        ({"networks__resnet": False}, {"train_resnet", "evaluate"}),
        ({"machine__cache_bytes": 0}, set()),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),
)
def test_a_param_changes_the_stages_that_use_it(
    restored: Path, change: dict[str, object], first: set[str]
) -> None:
    set_params(restored, **change)
    assert changed_stages() == first
    assert check_is_due() == (change != {"train__lr": 0.01})  # before everything else


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("scoring/scores.py", {"train_unet", "train_resnet", "evaluate"}),
        ("loading/transforms.py", {"train_unet", "train_resnet", "evaluate"}),
        ("networks/unet.py", {"train_unet", "evaluate"}),
        ("networks/resnet.py", {"train_resnet", "evaluate"}),
        ("evaluation/overlays.py", {"evaluate"}),
        ("training/loop.py", {"train_unet", "train_resnet"}),
        ("pixel_stats.py", {"compute_stats"}),
        ("splitting/parts.py", {"split"}),
        ("sources/sample/painting.py", {"download"}),
        ("common/files.py", set(STAGES)),  # and the check
        ("params.py", set()),
        ("README.md", set()),
        ("training/README.md", set()),
        ("training/loop.pyc", set()),
        ("training/__pycache__/other.cpython-311.pyc", set()),
    ],
)
def test_a_change_of_code_changes_the_stages_that_use_it(
    restored: Path, file: str, expected: set[str]
) -> None:
    path = restored / "segmentation" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text((path.read_text() if path.exists() else "") + "\n# changed\n")
    assert changed_stages() == expected


@pytest.mark.slow
def test_a_stage_whose_output_is_the_same_again_reruns_nothing_after_it(project: Path) -> None:
    set_params(project, data__max_dropped=0.5)  # the split runs, and writes what it wrote before
    assert ran(dvc(project, "repro")) == ["split"]


@pytest.mark.slow
def test_running_stages_by_hand_leaves_the_cache_intact(project: Path) -> None:
    outputs = {path: digest(project / path) for path in OUTPUTS}
    before = cached(project)
    assert before and all(
        path.parent.name + path.name.removesuffix(".dir") == digest for path, digest in before.items()
    )
    set_params(project, train__seed=7, data__seed=9)  # so that every output changes
    for stage in STAGES:
        assert run_stage(project, stage).returncode == 0
    after = cached(project)
    assert after == before
    set_params(project, train__seed=0, data__seed=0)
    assert ran(dvc(project, "repro")) == []  # all outputs are still in the cache
    assert outputs == {path: digest(project / path) for path in OUTPUTS}


@pytest.mark.slow
def test_a_bad_param_loses_nothing(project: Path) -> None:
    outputs = digests(project, OUTPUTS)
    for changes, problem in (
        ("train.lr=100", "train.lr = 100: must be less than or equal to 10"),
        ("image.size=2", "image.size = 2: must be greater than or equal to 32"),
        ("data.source=folder data.folder.path=/nowhere", "data.folder.path = /nowhere: no such folder"),
        (f"train.start_from=/no train.start_sha256=[{64 * 'a'}]", "train.start_from = /no: no such folder"),
    ):
        options = [option for change in changes.split() for option in ("-S", change)]
        refused = dvc(project, "exp", "run", *options, status=255)
        assert f"check_params: error: params.yaml: {problem}\n" in refused
        assert digests(project, OUTPUTS) == outputs
        git(project, "checkout", "HEAD", "--", "params.yaml")
    assert ran(dvc(project, "repro")) == []


def own_folder(path: Path) -> Path:
    for name in ("images", "masks"):
        (path / name).mkdir(parents=True)
    for i in range(12):
        Image.new("RGB", (40, 40), (20 * i, 0, 0)).save(path / f"images/{i}.png")
        Image.new("L", (40, 40), 255 * (i % 2)).save(path / f"masks/{i}.png")
    return path


@pytest.mark.slow
def test_a_change_of_ones_own_image_reruns_what_depends_on_it(project: Path, tmp_path: Path) -> None:
    own = own_folder(tmp_path / "own")
    set_params(project, data__source="folder", data__folder__path=str(own), data__limit=None)
    assert ran(dvc(project, "repro", "compute_stats")) == ["download", "split", "compute_stats"]
    assert layout.image_path(project / artifacts.RAW, "3").is_file()
    assert ran(dvc(project, "repro", "compute_stats")) == []
    Image.new("RGB", (40, 40), (0, 99, 0)).save(own / "images/3.png")
    assert ran(dvc(project, "repro", "compute_stats"))[:2] == ["download", "split"]


@pytest.mark.slow
def test_experiments(project: Path) -> None:
    """Another learning rate reruns training and evaluation only; back, everything comes out of the cache."""
    output = dvc(project, "exp", "run", "-S", "train.lr=1e-4", "--name", "slow")
    assert ran(output) == TRAINING
    assert "train.lr" in (table := dvc(project, "exp", "show", "--only-changed", "--md"))
    assert "slow" in table and "0.0001" in table
    files = json.loads(dvc(project, "metrics", "diff", "--json"))
    assert set(files) == {"metrics/test.json"}
    changes = files["metrics/test.json"]
    assert changes["unet.dice_soft"]["diff"] != 0
    assert "unet.dice" in dvc(project, "metrics", "diff", "--md")
    per_network = {"dice", "dice_low", "dice_high", "dice_pooled", "dice_soft"}
    gap = {"dice", "low", "high"}
    shown = {f"{name}.{score}" for name in ("unet", "resnet") for score in per_network}
    assert set(changes) <= shown | {f"difference.resnet.{score}" for score in gap}  # it fits a screen
    dvc(project, "plots", "diff", "--out", "plots")
    page = (project / "plots/index.html").read_text()
    assert "train_unet.csv" in page or "val_loss" in page
    set_params(project, train__lr=0.01)
    assert ran(dvc(project, "repro")) == []
    assert json.loads(dvc(project, "metrics", "diff", "--json")) == {}
