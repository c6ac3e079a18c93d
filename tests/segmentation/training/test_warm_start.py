"""Training that starts from the weights of a checkpoint: which ones it takes, and what it refuses."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Ended, RunHere
from content import digest
from projects import set_params

from segmentation.models.checkpoints import load_checkpoint
from segmentation.params import load_params
from segmentation.training.warm_start import load_warm_start


@pytest.fixture
def start(project: Path, tmp_path: Path, states: Path, run_here: RunHere) -> Path:
    """A folder of two checkpoints, outside the project; its hashes are in the project's params."""
    set_params(project, train__epochs=1, train__seed=7)
    for name in ("unet", "resnet"):
        assert run_here(project, f"stages.train_{name}").status == 0
    folder = Path(shutil.copytree(project / "checkpoints", tmp_path / "start"))
    hashes = [digest(folder / f"{name}.pt") for name in ("unet", "resnet")]
    set_params(project, train__seed=0, train__start_from=str(folder), train__start_sha256=hashes)
    return folder


def train(project: Path, run_here: RunHere, name: str = "unet", **values: Any) -> Ended:
    set_params(project, **values)
    return run_here(project, f"stages.train_{name}")


@pytest.mark.parametrize("name", ["unet", "resnet"])
def test_the_weights_are_those_of_the_checkpoint(
    project: Path, start: Path, run_here: RunHere, name: str
) -> None:
    ended = train(project, run_here, name, train__lr=1e-12, train__weight_decay=0)
    assert ended.status == 0 and f"starting from the weights in {start}" in ended.stdout
    (old, _), (new, meta) = (load_checkpoint(f / f"{name}.pt") for f in (start, project / "checkpoints"))
    assert meta.started_from == digest(start / f"{name}.pt") and meta.params["train"]["seed"] == 0
    for key, weight in old.named_parameters():
        torch.testing.assert_close(new.get_parameter(key), weight, rtol=0, atol=1e-9)


def test_the_batch_statistics_are_those_of_the_checkpoint(project: Path, start: Path) -> None:
    found = load_warm_start("resnet", load_params(project / "params.yaml"))
    weights = torch.load(start / "resnet.pt", weights_only=True)["weights"]
    assert found and found.weights.keys() == weights.keys()
    assert any("running_var" in key for key in weights)
    assert all(torch.equal(found.weights[key], each) for key, each in weights.items())


def test_the_table_says_which_networks_are_not_from_scratch(
    project: Path, start: Path, run_here: RunHere
) -> None:
    train(project, run_here)
    told = run_here(project, "stages.evaluate").stdout.splitlines()
    expected = (
        f"unet was not trained from scratch, but from the checkpoint of SHA-256 {digest(start / 'unet.pt')}"
    )
    assert [line for line in told if "from scratch" in line] == [expected]
    assert expected in run_here(project, "tools.summary").stdout.splitlines()


def test_from_scratch_nothing_is_named(project: Path, states: Path, run_here: RunHere) -> None:
    assert "starting from" not in train(project, run_here, train__epochs=1).stdout
    assert load_checkpoint(project / "checkpoints/unet.pt").meta.started_from is None


def swap(start: Path) -> None:
    shutil.copy(start / "resnet.pt", start / "unet.pt")


@pytest.mark.parametrize(
    ("spoil", "values", "expected"),
    [
        (None, {"model__width": 3}, "unet.pt: holds unet of width 2, not unet of width 3 (SHA-256 HASH)"),
        (swap, {}, "unet.pt: holds resnet of width 2, not unet of width 2 (SHA-256 HASH)"),
        (None, {"train__start_sha256": ["0" * 64]}, "unet.pt: its SHA-256 HASH is not in train.start_sha256"),
        (lambda start: (start / "unet.pt").write_bytes(b"hello"), {}, "unet.pt: its SHA-256 HASH is not in"),
        (lambda start: (start / "unet.pt").unlink(), {}, "unet.pt: cannot be read (No such file or dir"),
        (shutil.rmtree, {}, "(No such file or directory); train.start_from must hold a NAME.pt for each"),
        (None, {"train__start_from": "/dev/null"}, "/dev/null/unet.pt: cannot be read (Not a directory)"),
        (
            None,
            {"train__start_sha256": None},
            "train.start_sha256 = None: must list the SHA-256 of the files",
        ),
        (None, {"train__start_sha256": ["12ab"]}, "train.start_sha256.0 = '12ab'"),
        (None, {"train__start_sha256": []}, "train.start_sha256 = []"),
        (None, {"train__start_from": "start"}, "train.start_from = 'start': must be an absolute path"),
    ],
)
def test_what_is_refused(
    project: Path, start: Path, run_here: RunHere, spoil: Any, values: dict[str, Any], expected: str
) -> None:
    before = (project / "checkpoints/unet.pt").read_bytes()
    if spoil:
        spoil(start)
    ended = train(project, run_here, **values)
    assert ended.status == 2 and ended.stdout == "" and ended.stderr.count("\n") == 1
    found = digest(start / "unet.pt") if (start / "unet.pt").is_file() else ""
    assert expected.replace("HASH", found) in ended.stderr
    assert (project / "checkpoints/unet.pt").read_bytes() == before


@pytest.mark.parametrize("folder", ["checkpoints", "checkpoints/old", "data/../checkpoints"])
def test_the_folder_that_dvc_empties_is_refused(project: Path, run_here: RunHere, folder: str) -> None:
    (project / "checkpoints").mkdir(exist_ok=True)
    set_params(project, train__start_from=str(project / folder), train__start_sha256=["0" * 64])
    ended = train(project, run_here)
    assert ended.status == 2 and "must lie outside checkpoints/, whose files DVC deletes" in ended.stderr
