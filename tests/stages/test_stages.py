"""The stages as commands, without DVC."""

import csv
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from commands import RunHere, run_stage
from content import digest
from own_folder import own_folder
from PIL import Image
from projects import set_params

from segmentation.common import artifacts
from segmentation.common import dataset_layout as layout
from segmentation.params import load_params
from segmentation.training.run import train_network


def outputs(project: Path) -> dict[str, str]:
    files = [*project.glob("checkpoints/*.pt"), *project.glob("metrics/**/*.*")]
    return {str(path.relative_to(project)): digest(path) for path in files if path.name != ".gitignore"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unet", "resnet"])
def test_the_same_params_and_seed_give_the_same_bytes(project: Path, name: str) -> None:
    set_params(project, image__size=64, model__width=4)
    found = []
    for _ in range(2):  # each in a process of its own, with two threads
        finished = run_stage(project, f"train_{name}", env=os.environ | {"OMP_NUM_THREADS": "2"})
        assert finished.returncode == 0, finished.stderr
        found.append(outputs(project))
        (project / f"checkpoints/{name}.pt").unlink()
    assert found[0] == found[1]
    assert f"checkpoints/{name}.pt" in found[0] and f"metrics/plots/train_{name}.csv" in found[0]


@pytest.mark.parametrize("name", ["unet", "resnet"])
def test_neither_workers_nor_the_cache_change_anything(
    project: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    needed, found = (16 + 30) * 32 * 32 * 4, []
    for workers, cache_bytes in ((0, needed), (0, needed - 1), (1, needed), (2, needed), (2, 0)):
        set_params(project, machine__cache_bytes=cache_bytes)
        monkeypatch.setattr("segmentation.training.run.loader_workers", lambda *_, workers=workers: workers)
        train_network(name, load_params())
        found.append(outputs(project))
        assert ("decoded again" in capsys.readouterr().out) == (cache_bytes < needed)
    assert all(each == found[0] for each in found)
    set_params(project, train__seed=1)
    train_network(name, load_params())
    assert outputs(project)[f"checkpoints/{name}.pt"] != found[0][f"checkpoints/{name}.pt"]


def test_metrics_curves_and_checkpoints_agree(finished: Path) -> None:
    assert_consistent(finished)


def assert_consistent(project: Path) -> None:
    """What the stages have left fits together."""
    metrics = json.loads((project / "metrics/test.json").read_text())
    assert set(metrics) == {"unet", "resnet", "difference"}
    details = json.loads((project / artifacts.DETAILS).read_text())
    with (project / artifacts.PER_IMAGE).open(newline="") as file:
        images = list(csv.DictReader(file))
    assert details["images"] == 100 and len(images) == 200
    for name in ("unet", "resnet"):
        row = metrics[name]
        assert row["dice_low"] <= row["dice"] <= row["dice_high"]
        each = [float(image["dice"]) for image in images if image["model"] == name]
        assert sum(each) / 100 == pytest.approx(row["dice"], abs=1e-6)
        train = json.loads((project / f"metrics/train_{name}.json").read_text())
        lines = (project / f"metrics/plots/train_{name}.csv").read_text().splitlines()
        assert len(lines) == 1 + train["epochs"] == 3
        column = lines[0].split(",").index("val_dice")
        scores = [float(line.split(",")[column]) for line in lines[1:]]
        assert train["epoch"] == 1 + scores.index(max(scores))
        assert train["val_dice"] == pytest.approx(max(scores), abs=1e-5)
        content = torch.load(project / f"checkpoints/{name}.pt", weights_only=True)
        meta = json.loads(content["meta"])
        assert meta["epoch"] == train["epoch"] and meta["val_dice"] == train["val_dice"]
        assert meta["threshold"] == train["threshold"] == details["thresholds"][name]
        assert train["val_dice_threshold"] >= train["val_dice"]
        curve = project / artifacts.THRESHOLD_CURVES / f"{name}.csv"
        assert len(curve.read_text().splitlines()) == 1 + 99
    gap = metrics["difference"]["resnet"]
    assert gap["dice"] == pytest.approx(metrics["resnet"]["dice"] - metrics["unet"]["dice"], abs=1e-12)
    assert gap["low"] <= gap["dice"] <= gap["high"]
    assert (project / "metrics/plots/overlays/worst.png").stat().st_size > 50_000
    shown = {path.stem for path in (project / artifacts.GALLERY).glob("*.jpg")}
    assert 30 < len(shown) <= 60 and shown <= {image["id"] for image in images}


def spoil(project: Path, how: str) -> str:
    """Do what the name says, and return the stage that meets it."""
    raw = project / artifacts.RAW
    listed = raw / layout.TRAINVAL
    first = layout.read_list(listed)[0]
    if how == "param":
        set_params(project, train__lr=-1)
        return "train_unet"
    if how == "params syntax":
        (project / "params.yaml").write_text("train: [")
    elif how == "no params":
        (project / "params.yaml").unlink()
    elif how == "no folder":
        set_params(project, data__source="folder", data__folder__path="nowhere")
    elif how in ("wrong md5", "no archive", "other scheme"):
        archive = project / "some.tar.gz"
        archive.write_text("hello")
        url = "ftp://x/y.tar.gz" if how == "other scheme" else archive.as_uri()
        set_params(project, data__source="oxford-iiit-pet", data__pets__images_url=url)
        if how == "no archive":
            md5 = digest(archive, "md5")
            set_params(project, data__pets__images_md5=md5, data__pets__annotations_md5=md5)
            set_params(project, data__pets__annotations_url=archive.as_uri())
    elif how == "list names nothing":
        set_params(project, data__max_dropped=0)
        listed.write_text(listed.read_text() + "nobody_1 1 1 1\n")
        return "split"
    elif how == "list leads out":
        listed.write_text(listed.read_text() + "../../x 1 1 1\n")
        return "split"
    elif how == "mask of another size":
        set_params(project, data__max_dropped=0)
        other = next(each for each in layout.read_list(listed) if size(raw, each) != size(raw, first))
        shutil.copy(layout.trimap_path(raw, other), layout.trimap_path(raw, first))
        return "split"
    elif how == "broken image":
        set_params(project, data__max_dropped=0)
        layout.image_path(raw, first).write_text("hello")
        return "split"
    elif how == "no split":
        (project / artifacts.SPLIT).unlink()
        return "compute_stats"
    elif how == "no stats":
        (project / artifacts.STATS).unlink()
        return "train_resnet"
    elif how == "no raw":
        shutil.rmtree(raw)
        return "split"
    elif how == "no images":
        shutil.rmtree(raw / layout.IMAGES)
        return "train_unet"
    elif how == "no foreground":
        for path in (raw / layout.TRIMAPS).iterdir():
            Image.new("L", size(raw, path.stem), layout.BACKGROUND).save(path)
        return "train_unet"
    elif how == "no checkpoint":
        return "evaluate"
    return "download"


def size(raw: Path, image_id: str) -> tuple[int, int]:
    with Image.open(layout.image_path(raw, image_id)) as image:
        return image.size


MESSAGES = {
    "param": "params.yaml: train.lr = -1: must be greater than 0",
    "params syntax": "params.yaml: not readable as YAML",
    "no params": "params.yaml: no such file",
    "no folder": "nowhere: no such folder",
    "wrong md5": "expected md5 5c4f3ee8e5d25df40f4fd59a7f44e54c, found 5d41402abc4b2a76b9719d911017c592",
    "no archive": "some.tar.gz: cannot be unpacked",
    "other scheme": "ftp://x/y.tar.gz: the address must start with https://, http:// or file://",
    "list names nothing": "image nobody_1: no such file",
    "list leads out": "trainval.txt: '../../x' is not a plain image id",
    "mask of another size": "1 of 400 images are unusable",
    "broken image": "does not decode as an image",
    "no split": "data/split.json: no such file; split has not run to its end: `dvc repro` continues",
    "no stats": "data/stats.json: no such file; compute_stats has not run to its end",
    "no images": ".jpg: no such file, but the split names it",
    "no foreground": "data/raw: no training image shows any foreground",
    "no raw": "data/raw/annotations/list.txt: no such list; download has not run to its end",
    "no checkpoint": "checkpoints/unet.pt: no such checkpoint",
}


@pytest.mark.parametrize("how", MESSAGES)
def test_bad_input_gives_one_line_status_2_and_loses_nothing(
    project: Path, how: str, run_here: RunHere
) -> None:
    stage = spoil(project, how)
    before = {path: digest(path) for path in sorted(project.glob("data/**/*")) if path.is_file()}
    status, _, stderr = run_here(project, f"stages.{stage}")
    assert status == 2, stderr
    lines = [line for line in stderr.splitlines() if line]
    assert len(lines) == 1 and MESSAGES[how] in lines[0] and lines[0].startswith(f"{stage}: error: ")
    assert {path: digest(path) for path in sorted(project.glob("data/**/*")) if path.is_file()} == before


UNSTABLE = {
    "train__lr": 10,
    "train__schedule": "constant",
    "train__warmup": 0,
    "train__epochs": 60,
    "train__optimizer": "adamw",
    "train__weight_decay": 10,
    "train__precision": "float32",
}


def test_a_loss_that_is_not_finite_is_a_fault(project: Path, run_here: RunHere) -> None:
    set_params(project, **UNSTABLE)
    assert_diverged(*run_here(project, "stages.train_unet"), processes=1)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_every_process(project: Path) -> None:
    set_params(project, train__processes=2, **UNSTABLE)
    finished = run_stage(project, "train_unet")
    assert_diverged(finished.returncode, finished.stdout, finished.stderr, processes=2)


def assert_diverged(status: int, _: str, stderr: str, processes: int) -> None:
    assert status == 1
    lines = stderr.splitlines()
    assert 1 <= len(lines) <= processes
    assert all("loss is" in line and "lower train.lr (now 10)" in line for line in lines)


def test_tilde_is_the_home_folder(
    project: Path, tmp_path: Path, run_here: RunHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    own_folder(tmp_path / "own")
    set_params(project, data__source="folder", data__folder__path="~/own")
    assert "10 images, 10 masks" in run_here(project, "stages.download").stdout
    (tmp_path / "start").mkdir()
    set_params(project, train__start_from="~/start", train__start_sha256=["0" * 64])
    assert f"{tmp_path}/start/unet.pt: cannot be read" in run_here(project, "stages.train_unet").stderr


def test_another_programs_world_size_is_not_this_ones(
    project: Path, run_here: RunHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm's scripts and notebooks set it, without the addresses that torchrun adds."""
    for name, value in {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    ended = run_here(project, "stages.train_unet")
    assert ended.status == 0, ended.stderr
    assert (project / artifacts.checkpoint_path("unet")).exists()
