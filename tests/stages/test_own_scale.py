"""Images at their own scale, from the folder to the scores."""

import json
import os
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import run_stage
from killing import left, outputs, run_interrupted, start, uninterrupted
from PIL import Image
from projects import STAGES, make_project, set_params

pytestmark = pytest.mark.slow


def set_tiles(project: Path) -> None:
    set_params(project, image__fit="tiles", image__scale=0.8, train__batch_size=16, train__epochs=4)
    set_params(project, augment__affine=0.5, model__dropout=0.3)


@pytest.mark.fault("kill -9 in a step, in the middle of a file; windows of images at their own scale")
def test_killed_and_resumed(project: Path, states: Path) -> None:
    set_tiles(project)
    before = uninterrupted(project)
    for moment, number in (("a step", 5), ("a validation", 20), ("a write", 3)):
        assert run_interrupted(project, "train_unet", moment, number).returncode == -signal.SIGKILL
    finished = run_stage(project, "train_unet")
    assert finished.returncode == 0 and "windows an epoch" in finished.stdout
    assert outputs(project) == before and left(states) == []


@pytest.mark.fault("SIGTERM to two processes; windows of images at their own scale")
def test_two_processes_are_stopped_and_resumed(project: Path, states: Path) -> None:
    set_tiles(project)
    set_params(project, train__processes=2)
    before = uninterrupted(project)
    process = start(project)
    process.terminate()
    process.communicate(timeout=60)
    finished = run_stage(project, "train_unet")
    assert finished.returncode == 0 and "resuming after epoch" in finished.stdout
    assert outputs(project) == before and left(states) == []


def photo_with_small_objects(rng: np.random.Generator) -> tuple[Image.Image, Image.Image]:
    """A textured ground of 3000x2000 with 5 to 40 round objects of 12 to 40 pixels in another texture."""
    noise = rng.normal(size=(2000, 3000)).astype(np.float32)
    coarse = cv2.resize(rng.normal(size=(40, 60)).astype(np.float32), (3000, 2000))
    ground = 110 + 25 * coarse + 30 * cv2.GaussianBlur(noise, (0, 0), 2) * 4
    mask = np.zeros((2000, 3000), np.uint8)
    for _ in range(rng.integers(5, 41)):
        center = int(rng.integers(30, 2970)), int(rng.integers(30, 1970))
        axes = int(rng.integers(6, 21)), int(rng.integers(6, 21))
        cv2.ellipse(mask, center, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    objects = ground + 30 + 20 * noise
    grey = np.where(mask, objects, ground + 5 * noise).clip(0, 255).astype(np.uint8)
    color = np.stack([grey, grey, (0.9 * grey).astype(np.uint8)], axis=-1)
    return Image.fromarray(color), Image.fromarray(255 * mask)


def test_small_objects_on_large_photos(tmp_path: Path) -> None:
    """Squashed to a square, they vanish; in tiles they are found."""
    folder, rng = tmp_path / "photos", np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number in range(6):
        image, mask = photo_with_small_objects(rng)
        image.save(folder / f"images/{number}.jpg", quality=95)
        mask.save(folder / f"masks/{number}.png")
    project = make_project(tmp_path / "project")
    set_params(project, data__source="folder", data__folder__path=str(folder), data__limit=None)
    set_params(project, model__width=8, model__init="default", train__epochs=1, train__batch_size=8)
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    dice = {}
    for fit, size, steps in (("stretch", 256, 100), ("tiles", 128, 200)):
        set_params(project, image__fit=fit, image__size=size, train__min_steps=steps)
        for stage in [stage for stage in STAGES if stage != "train_resnet" and stage != "evaluate"]:
            finished = run_stage(project, stage, env=environment)
            assert finished.returncode == 0, finished.stderr
        dice[fit] = json.loads((project / "metrics/train_unet.json").read_text())["val_dice_threshold"]
    assert dice["stretch"] < 0.5 and dice["tiles"] > 0.9
