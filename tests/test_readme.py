"""What the README shows runs as it stands there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from commands import RunHere
from PIL import Image
from projects import ROOT

README = (ROOT / "README.md").read_text()


def test_the_mask_of_an_image_from_python(finished: Path, tmp_path: Path, run_here: RunHere) -> None:
    (code,) = re.findall(r"```python\n(from segmentation.*?)```", README, re.S)
    shutil.copytree(finished / "checkpoints", tmp_path / "checkpoints")
    noise = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((70, 50)).save(tmp_path / "photo.jpg")
    ended = subprocess.run(
        [sys.executable, "-c", f"{code}\nprint(mask.tobytes().hex())"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run_here(tmp_path, "tools.predict", "photo.jpg", "--model", "unet").status == 0
    written = np.asarray(Image.open(tmp_path / "predictions/photo.png"))
    assert ended.stdout.strip() == (written // 255).tobytes().hex()
