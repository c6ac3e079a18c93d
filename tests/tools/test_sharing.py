"""A trained network that is shared: as a file, by `dvc get`, and as an artifact of a tagged clone."""

import shutil
from pathlib import Path

import pytest
from commands import RunHere, dvc
from PIL import Image
from projects import copied, git

pytestmark = pytest.mark.slow


@pytest.fixture
def clone(finished: Path, tmp_path: Path) -> Path:
    """A tagged clone, with a remote that holds its results."""
    project = copied(finished, tmp_path)
    dvc(project, "remote", "add", "-d", "storage", str(tmp_path / "storage"))
    git(project, "commit", "-qam", "remote")
    git(project, "tag", "-a", "unet@v1.0.0", "-m", "the first")
    dvc(project, "push")
    git(tmp_path, "clone", "-q", str(project), str(tmp_path / "clone"))
    return tmp_path / "clone"


def test_a_shared_network_predicts(clone: Path, finished: Path, tmp_path: Path, run_here: RunHere) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    Image.effect_noise((50, 40), 60).convert("RGB").save(elsewhere / "photo.png")
    shutil.copy(finished / "checkpoints/unet.pt", elsewhere / "copy.pt")
    dvc(elsewhere, "get", str(clone), "checkpoints/unet.pt", "-o", "got.pt")
    dvc(elsewhere, "artifacts", "get", str(clone), "unet", "--rev", "v1.0.0", "-o", "artifact.pt")
    masks = set()
    for name in ("copy", "got", "artifact"):
        arguments = ["photo.png", "--checkpoint", f"{name}.pt", "--out", name]
        assert run_here(elsewhere, "tools.predict", *arguments).status == 0
        masks.add((elsewhere / name / "photo.png").read_bytes())
        assert (elsewhere / f"{name}.pt").read_bytes() == (finished / "checkpoints/unet.pt").read_bytes()
    assert len(masks) == 1
