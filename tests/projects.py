"""Projects to test with: clones of this one, with tiny params."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from segmentation.common.artifacts import Split
from segmentation.common.geometry import Geometry
from segmentation.loading.dataset import SegmentationDataset
from segmentation.params import load_params
from segmentation.splitting.checks import check_dataset
from segmentation.splitting.parts import split_dataset
from segmentation.training.augmentation import Augmentation
from segmentation.training.crops import TrainingCrops

ROOT = Path(__file__).parents[1]
DEFAULTS = load_params(ROOT / "params.yaml")
TRAINING = ["train_unet", "train_resnet", "evaluate"]
STAGES = ["download", "split", "compute_stats", *TRAINING]

# A run that takes seconds: what is tested is the plumbing, not the scores.
TINY = {
    "data.limit": 16,
    "image.size": 32,
    "model.width": 2,
    "model.init": "he",  # PyTorch's leaves so narrow a network one probability for the whole image
    "train.epochs": 2,
    "train.min_steps": 0,
    "evaluate.bootstrap": 100,
}


def checked_split(
    raw: Path,
    val_fraction: float,
    limit: int | None = None,
    max_dropped: float = 0,
    seed: int = 0,
    test_fraction: float = 0.2,
) -> Split:
    """Check the dataset in folder `raw` and split it."""
    folder = DEFAULTS.data.folder.model_copy(update={"test_fraction": test_fraction})
    changes = {"val_fraction": val_fraction, "limit": limit, "max_dropped": max_dropped, "seed": seed}
    return split_dataset(
        raw,
        DEFAULTS.data.model_copy(update=changes | {"folder": folder}),
        check_dataset(raw, ["pet"], Geometry(64)),
    )


def unchanged_crops(images: SegmentationDataset) -> TrainingCrops:
    """Images to train on, without random changes."""
    nothing = DEFAULTS.augment.model_copy(update={"affine": 0.0, "flip": 0.0, "color": 0.0})
    return TrainingCrops(images, Augmentation(nothing, images.geometry))


def set_params(path: Path, **values: Any) -> None:
    """Change leaves of a params file, or of a project's; `__` stands for the dot in a key."""
    path = path if path.is_file() else path / "params.yaml"
    params = yaml.safe_load(path.read_text())
    for key, value in values.items():
        group = params
        *groups, leaf = key.split("__")
        for name in groups:
            group = group[name]
        assert leaf in group, key
        group[leaf] = value
    path.write_text(yaml.safe_dump(params))


def make_project(folder: Path) -> Path:
    """Clone the working tree, uncommitted changes included, into `folder` with tiny params."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    set_params(folder, **{key.replace(".", "__"): value for key, value in TINY.items()})
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "start")
    return folder


def git(project: Path, *arguments: str) -> None:
    """Run a `git` command as somebody."""
    somebody = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run(["git", *somebody, *arguments], cwd=project, check=True)


def copied(project: Path, folder: Path) -> Path:
    """A copy of a project in `folder`."""
    return Path(shutil.copytree(project, folder / "project", symlinks=True))
