"""The benchmarks run as their docstrings say; what they measure is not judged here."""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import run_stage
from projects import ROOT, set_params


def run(*command: str, folder: Path = ROOT) -> list[str]:
    finished = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.splitlines()


def test_stats(sample: Path, tmp_path: Path) -> None:
    for path in sorted((sample / "images").iterdir())[:40]:
        shutil.copy(path, tmp_path)
    *_, ratio, gap = run("benchmarks.stats", str(tmp_path), "--rounds=1")
    assert "times as fast" in ratio and gap.endswith("yes")


@pytest.mark.slow
def test_time_to_dice(project: Path) -> None:
    """Both loops reach an easy target, and each run is a row; a target out of reach is said."""
    set_params(project, data__limit=40)
    for stage in ("split", "compute_stats"):
        assert run_stage(project, stage).returncode == 0
    options = ["--network=unet", "--width=4", "--size=32"]
    (project / "docs/records.csv").unlink(missing_ok=True)
    printed = run("benchmarks.time_to_dice", "--target=0.3", "--plain", *options, folder=project)
    assert [line.split()[:4] for line in printed[2:4]] == [
        ["pets", "engine", "0", "yes"],
        ["lab_report", "plain", "0", "yes"],
    ]
    set_params(project / "presets/pets.yaml", train__epochs=1, train__min_steps=0)
    run("benchmarks.time_to_dice", "--target=0.99", "--seeds=1", *options, folder=project)
    set_params(project / "presets/lab_report.yaml", train__epochs=1)
    run("benchmarks.time_to_dice", "--plain", "--presets", *options, folder=project)  # to the end
    rows = list(csv.DictReader((project / "docs/records.csv").open()))
    assert [(row["loop"], row["reached"], row["seed"]) for row in rows] == [
        ("engine", "yes", "0"),
        ("plain", "yes", "0"),
        ("engine", "no", "1"),
        ("plain", "", "0"),
    ]
    flop = [float(row["gflop"]) / int(row["epochs"]) for row in rows]
    assert 0.2 < flop[0] / flop[1] < 0.3  # images of half the side
    assert float(rows[2]["dice_pooled"]) < 0.99 and float(rows[2]["minutes"]) > 0


@pytest.mark.slow
def test_train_step(sample: Path) -> None:
    options = ["--size=64", "--width=2", "--batch=4", "--images=8", "--rounds=1"]
    _, header, plain, engine, verdict = run(
        "benchmarks.train_step", f"--raw={sample}", *options, "--networks", "resnet"
    )
    assert header.split()[:3] == ["network", "side", "images/s"]
    speeds = [float(line.split()[2]) for line in (plain, engine)]
    assert [line.split()[:2] for line in (plain, engine)] == [["resnet", "plain"], ["resnet", "engine"]]
    assert min(speeds) > 1
    assert 0 < float(engine.split()[7].rstrip("%")) < 100  # the tail
    assert float(verdict.split()[1]) == pytest.approx(speeds[1] / speeds[0], rel=0.02)
