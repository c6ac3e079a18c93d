from pathlib import Path

import pytest
import yaml
from projects import DEFAULTS
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)

from segmentation.training.tracking import open_board, runs_folder


def test_a_run_on_tensorboard_says_what_it_was(tmp_path: Path) -> None:
    train = DEFAULTS.train.model_copy(update={"lr": 1e-4, "seed": 7})
    params = DEFAULTS.model_copy(update={"train": train})
    open_board(tmp_path / "unet", params).close()
    (folder,) = (tmp_path / "unet").iterdir()
    size, width = params.image.size, params.model.width
    assert folder.name.split("_", 2)[2] == f"{size}px_width{width}_lr0.0001_seed7"
    events = EventAccumulator(str(folder)).Reload()
    (text,) = events.Tensors("params/text_summary")
    assert yaml.safe_load(text.tensor_proto.string_val[0].decode()) == params.model_dump()


@pytest.mark.parametrize("copy", [".dvc/tmp/exps/tmpabc", ".dvc/tmp/exps/standalone/tmpabc"])
def test_runs_of_queued_experiments_lie_where_the_others_are(tmp_path: Path, copy: str) -> None:
    assert runs_folder("unet", tmp_path) == tmp_path / "runs/unet"
    assert runs_folder("unet", tmp_path / copy) == tmp_path / "runs/unet"
    assert runs_folder("unet", tmp_path / "tmp/exps/a") == tmp_path / "tmp/exps/a/runs/unet"
