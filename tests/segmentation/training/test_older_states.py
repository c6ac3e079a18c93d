"""A training that an older version of this program stopped."""

import io
import json
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from segmentation.training.resume import ResumeState


def test_it_starts_from_the_beginning_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    buffer = io.BytesIO()
    torch.save({"training": {}}, buffer)
    header = json.dumps({"epochs": 3, "inputs": {"train.lr": 0.1}}).encode() + b"\n"  # as format 1 had it
    whole = header + buffer.getvalue()
    old = tmp_path / "unet-0123.state"
    old.write_bytes(whole + sha256(whole).hexdigest().encode())
    assert ResumeState("unet", {"train.lr": 0.1}, tmp_path).load() is None
    said = capsys.readouterr().err
    assert said.startswith("unet: starts from the beginning; the training that stopped after epoch 3 (")
    assert said.endswith(") is of another version of this program\n") and said.count("\n") == 1
    assert old.exists()
