"""What a training that resumes must have in common with the one that was stopped."""

import importlib.metadata
from pathlib import Path

import albumentations
import cv2
import pytest
import torch
from projects import ROOT

from segmentation.common.leaves import differences
from segmentation.inference.predictor import Runner
from segmentation.loading.transforms import NONE
from segmentation.params import load_params
from segmentation.training import fingerprint as module
from segmentation.training.fingerprint import fingerprint, installed


def test_the_libraries_count_by_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = dict(installed())
    assert found["torch"] == torch.__version__ and found["albumentations"] == albumentations.__version__
    assert (found["opencv-python-headless"] or "").startswith(cv2.__version__)
    assert set(found) >= {"numpy", "pillow", "albucore"} and None not in found.values()


def test_another_version_is_another_training(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    runner = Runner(torch.device("cpu"), "float32", NONE)
    before = fingerprint("train_unet", load_params(), runner, None)
    assert fingerprint("train_unet", load_params(), runner, None) == before
    real = importlib.metadata.version
    monkeypatch.setattr(module, "version", lambda name: "0.0" if name == "pillow" else real(name))
    found = differences(before, fingerprint("train_unet", load_params(), runner, None))
    assert found == f"pillow {real('pillow')} -> 0.0"
