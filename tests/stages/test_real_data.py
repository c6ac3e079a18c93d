"""The whole pipeline on real pets: they are not part of the repository, and where absent, this is skipped."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import run_stage
from projects import ROOT, STAGES, make_project, set_params

DATA = ROOT.parent / "shared/data"
MD5 = {
    "pets-128": ("c850e8f00d7c0624a5279235dc347cd7", "3f4f5728f60f42a0d875a53bcde47b85"),
    "pets-original-100": ("791d49bd1abd7b95b318c97fae719525", "87e1be33ed8e2e176126b903d0007648"),
}

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="no real images here")


def run_all(folder: Path, name: str, **values: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """The split of real pets and the details of its evaluation."""
    project = make_project(folder)
    images_md5, annotations_md5 = MD5[name]
    set_params(
        project,
        data__source="oxford-iiit-pet",
        data__pets__images_url=(DATA / name / "images.tar.gz").as_uri(),
        data__pets__images_md5=images_md5,
        data__pets__annotations_url=(DATA / name / "annotations.tar.gz").as_uri(),
        data__pets__annotations_md5=annotations_md5,
        **values,
    )
    for stage in STAGES:
        finished = run_stage(project, stage)
        assert finished.returncode == 0, finished.stderr
    split = json.loads((project / "data/split.json").read_text())
    return split, json.loads((project / "metrics/details.json").read_text())


@pytest.mark.slow
@needs_data
def test_the_official_split(tmp_path: Path) -> None:
    split, details = run_all(
        tmp_path, "pets-128", data__limit=400, image__size=64, model__width=8, train__epochs=3
    )
    assert (len(split["train"]), len(split["val"]), len(split["test"])) == (400, 368, 3669)
    assert split["dropped"] == [] and details["images"] == 3669
    baseline = details["baselines"]["all_foreground"]
    assert baseline["dice"] == pytest.approx(0.57, abs=0.01)
    assert all(details["original"][name]["dice"] > baseline["dice"] for name in ("unet", "resnet"))


@pytest.mark.slow
@needs_data
def test_images_of_original_size(tmp_path: Path) -> None:
    split, details = run_all(
        tmp_path, "pets-original-100", image__size=64, model__width=8, train__epochs=5, data__limit=None
    )
    assert (len(split["train"]), len(split["val"]), len(split["test"])) == (53, 6, 41)
    assert details["images"] == 41 and details["original"]["resnet"]["dice"] > 0.3


@needs_data
@pytest.mark.slow
def test_the_benchmark_of_the_stats_reaches_its_goals(tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(DATA / "pets-original-100/images.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.stats", str(tmp_path / "images")],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "largest gap to numpy in float64" in finished.stdout
    assert "NO" not in finished.stdout, finished.stdout
