"""What docs/serving.md shows works as it stands there."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from photos import pixels, save, scene
from projects import ROOT
from servers import running

PAGE = (ROOT / "docs/serving.md").read_text()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_examples(finished: Path, tmp_path: Path) -> None:
    save(tmp_path / "photo.jpg", scene(50, 80))
    examples = re.findall(r"^    (curl .*)", PAGE, re.M)
    assert len(examples) == 4
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    with running(finished) as server:
        printed = [
            subprocess.run(
                ["bash", "-c", example.replace("http://127.0.0.1:8000", server.url)],
                cwd=tmp_path, capture_output=True, text=True, check=True,
            ).stdout
            for example in examples
        ]  # fmt: skip
        code = code.replace("http://127.0.0.1:8000", server.url) + "\nprint(probabilities.shape)"
        shape = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout
    assert {model["name"] for model in json.loads(printed[2])} == {"unet", "resnet"}
    assert printed[3] == '{"status":"ok"}' and shape == "(50, 80)\n"
    assert pixels(tmp_path / "mask.png").shape == (50, 80)
    assert pixels(tmp_path / "cutout.png").shape == (50, 80, 4)
