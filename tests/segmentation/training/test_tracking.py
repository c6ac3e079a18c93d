from datetime import datetime, tzinfo
from pathlib import Path

import pytest
import torch
import yaml
from projects import DEFAULTS
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)

from segmentation.training import tracking
from segmentation.training.tracking import best_line, open_board, runs_folder
from segmentation.training.validation import EpochMetrics


def test_a_run_on_tensorboard_says_what_it_was(tmp_path: Path) -> None:
    train = DEFAULTS.train.model_copy(update={"lr": 1e-4, "seed": 7})
    params = DEFAULTS.model_copy(update={"train": train})
    open_board(tmp_path / "unet", params).close()
    (folder,) = (tmp_path / "unet").iterdir()
    size, width = params.image.size, params.model.width
    assert f"_{size}px_width{width}_lr0.0001_seed7_" in folder.name
    events = EventAccumulator(str(folder)).Reload()
    (text,) = events.Tensors("params/text_summary")
    assert yaml.safe_load(text.tensor_proto.string_val[0].decode()) == params.model_dump()


def test_two_runs_that_start_together_do_not_share_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Noon(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Noon":
            return cls(2026, 1, 1, 12)

    monkeypatch.setattr(tracking, "datetime", Noon)
    for _ in range(3):
        open_board(tmp_path, DEFAULTS).close()
    names = [path.name for path in tmp_path.iterdir()]
    assert len(names) == 3 and all(name.startswith("2026-01-01_12-00-00_") for name in names)


def test_the_line_about_the_best_epoch() -> None:
    cpu = torch.device("cpu")
    best = dict.fromkeys(EpochMetrics.__annotations__, 0.5) | {"epoch": 3, "val_dice_soft": 0.81}
    line = best_line("unet", best, 9, "dice_soft", cpu)  # type: ignore[arg-type]
    assert line.startswith("best epoch 3 of 9, validation dice_soft 0.8100; Dice 0.5000 at threshold 0.5;")
    assert "checkpoints/unet.pt" in line


@pytest.mark.parametrize("copy", [".dvc/tmp/exps/tmpabc", ".dvc/tmp/exps/standalone/tmpabc"])
def test_runs_of_queued_experiments_lie_where_the_others_are(tmp_path: Path, copy: str) -> None:
    assert runs_folder("unet", tmp_path) == tmp_path / "runs/unet"
    assert runs_folder("unet", tmp_path / copy) == tmp_path / "runs/unet"
    assert runs_folder("unet", tmp_path / "tmp/exps/a") == tmp_path / "tmp/exps/a/runs/unet"
