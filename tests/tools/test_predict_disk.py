"""Predictions onto a full disk, and into a folder that cannot be written."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from on_a_small_disk import READ_ONLY, SCRIPT, mounts_work
from PIL import Image

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not mounts_work(), reason="needs unshare and mount"),
]


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """Predicts ten photos of noise, whose cut-outs take some 40 kB each, into the folder `out`."""
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    (tmp_path / "out").mkdir()
    for number in range(10):
        noise = rng.integers(0, 256, (120, 100, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"photos/{number}.png")
    arguments = [str(tmp_path / "photos"), "--out", str(tmp_path / "out"), "--kind", "cutout", "--batch", "2"]
    return [sys.executable, "-m", "tools.predict", *arguments]


@pytest.mark.fault("a full disk")
def test_a_full_disk(command: list[str], finished: Path, tmp_path: Path) -> None:
    wrapped = ["unshare", "-rm", sys.executable, str(SCRIPT), str(tmp_path / "out"), "200000", *command]
    ended = subprocess.run(wrapped, cwd=finished, capture_output=True, text=True, check=True)
    result = json.loads(ended.stdout)
    assert result["status"] == 1 and "No space left on device" in result["stderr"]
    assert "Traceback" not in result["stderr"] and result["stderr"].splitlines()[-1].startswith(
        "predict: error: "
    )
    assert 0 < len([name for name in result["after"] if name.endswith(".png")]) < 10
    assert not [name for name in result["after"] if name.startswith(".")]  # nothing half-written


@pytest.mark.fault("a folder that cannot be written")
def test_a_read_only_folder(command: list[str], finished: Path, tmp_path: Path) -> None:
    wrapped = ["unshare", "-rm", "sh", "-c", READ_ONLY, "sh", str(tmp_path / "out"), *command]
    ended = subprocess.run(wrapped, cwd=finished, capture_output=True, text=True)
    assert ended.returncode == 1 and "Read-only file system" in ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("predict: error: ") and str(tmp_path / "out") in last
    assert "Traceback" not in ended.stderr
