"""The benchmarks run as their docstrings say; what they measure is not judged here."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from projects import ROOT


def run(*command: str) -> list[str]:
    finished = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.splitlines()


def test_stats(sample: Path, tmp_path: Path) -> None:
    for path in sorted((sample / "images").iterdir())[:40]:
        shutil.copy(path, tmp_path)
    *_, ratio, gap = run("benchmarks.stats", str(tmp_path), "--rounds=1")
    assert "times as fast" in ratio and gap.endswith("yes")


@pytest.mark.slow
def test_train_step(sample: Path) -> None:
    options = ["--size=64", "--width=2", "--batch=4", "--images=8", "--rounds=1"]
    _, header, plain, engine, verdict = run(
        "benchmarks.train_step", f"--raw={sample}", *options, "--networks", "resnet"
    )
    assert header.split()[:3] == ["network", "way", "images/s"]
    speeds = [float(line.split()[2]) for line in (plain, engine)]
    assert min(speeds) > 1 and plain.startswith("resnet  plain") and engine.startswith("resnet  engine")
    assert 0 < float(engine.split()[7].rstrip("%")) < 100  # the tail
    assert float(verdict.split()[1]) == pytest.approx(speeds[1] / speeds[0], rel=0.02)
