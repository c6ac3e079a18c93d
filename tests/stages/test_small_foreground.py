"""Foreground that is too small for the size of the network: said by the split, missed in the scores."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from commands import RunHere
from PIL import Image
from projects import set_params

from segmentation.common import artifacts
from segmentation.common.geometry import Geometry
from segmentation.inference.predictor import Predictor, Runner
from segmentation.loading.dataset import SegmentationDataset
from segmentation.loading.transforms import NONE
from segmentation.scoring.scores import dice
from segmentation.scoring.threshold import choose_threshold
from segmentation.training.loader import Batches
from segmentation.training.losses import LOSSES
from segmentation.training.validation import score


def folder_of_discs(own: Path, radii: list[int]) -> None:
    """Write images of 400x300 pixels, each with a disc, and their masks."""
    for name in ("images", "masks"):
        (own / name).mkdir(parents=True)
    for number, radius in enumerate(radii):
        rng = np.random.default_rng(number)
        mask = np.zeros((300, 400), np.uint8)
        cv2.circle(mask, [int(place) for place in rng.integers(40, 260, 2)], radius, 255, -1)
        noise = rng.integers(0, 90, (300, 400, 1)) + mask[..., None] // 2 + np.zeros((300, 400, 3), int)
        Image.fromarray(noise.astype(np.uint8)).save(own / f"images/{number}.png")
        Image.fromarray(mask).save(own / f"masks/{number}.png")


@pytest.mark.parametrize("resize", ["linear", "area"])
def test_foreground_too_small_for_the_network_is_said_and_counts_as_missed(
    project: Path, tmp_path: Path, run_here: RunHere, resize: str
) -> None:
    folder_of_discs(tmp_path / "own", [3] * 12 + [40] * 8)
    changes = {"data__source": "folder", "data__folder__path": str(tmp_path / "own")}
    set_params(project, **changes, image__size=32, image__resize=resize)
    assert run_here(project, "stages.download").status == 0
    ended = run_here(project, "stages.split")
    assert ended.status == 0
    said = re.search(
        r"warning: at image.size = 32 the foreground is too small to be seen in (\d+) of 20 images, the first"
        r" (\d+); raise image.size",
        ended.stdout,
    )
    assert said and int(said[2]) < 12 and (int(said[1]) == 12 if resize == "area" else int(said[1]) > 4)
    split = json.loads((project / artifacts.SPLIT).read_text())
    small = [image_id for image_id in split["train"] + split["val"] if int(image_id) < 12]
    dataset = SegmentationDataset(project / artifacts.RAW, small, Geometry(32, resize), ["pet"])  # type: ignore[arg-type]
    nothing = Predictor(Nothing(), Runner(torch.device("cpu"), "float32", NONE), dataset.geometry, 0.5)
    scored = score(nothing, Batches(dataset, 8).epoch(), LOSSES["bce_dice"])
    assert small and (dice(scored.counts) == 0).all() and choose_threshold(scored.bins)[1] == 0


class Nothing(torch.nn.Module):
    """A network that finds nothing anywhere."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.full_like(x[:, :1], -20.0)


def test_where_all_foreground_is_too_small_the_size_is_blamed(
    project: Path, tmp_path: Path, run_here: RunHere
) -> None:
    folder_of_discs(tmp_path / "own", [3] * 20)
    set_params(project, data__source="folder", data__folder__path=str(tmp_path / "own"), image__size=32)
    assert run_here(project, "stages.download").status == 0
    ended = run_here(project, "stages.split")
    assert ended.status == 2 and ended.stderr.count("\n") == 1
    assert "at image.size = 32 the foreground of all 20 images, the first 0, is too small" in ended.stderr
    assert "raise image.size" in ended.stderr and "data.foreground" not in ended.stderr
    set_params(project, image__size=256)
    ended = run_here(project, "stages.split")
    assert ended.status == 0 and "too small" not in ended.stdout
    assert "only 2 of the images choose epoch and threshold" in ended.stdout  # a tenth of 16
    set_params(project, data__val_fraction=0.4)
    assert "choose epoch" not in run_here(project, "stages.split").stdout
