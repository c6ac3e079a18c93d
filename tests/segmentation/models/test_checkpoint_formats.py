"""Checkpoints of other versions of this program."""

import json
from pathlib import Path

import pytest
import torch

from segmentation.common.errors import InputError
from segmentation.common.geometry import Geometry
from segmentation.models.checkpoints import VERSION, Metadata, checkpoint_bytes, load_checkpoint

FORMAT_1 = (
    Path(__file__).parents[2] / "fixtures/unet_format_1.pt"
)  # trained by the last version with format 1


def test_format_1_still_loads() -> None:
    content = torch.load(FORMAT_1, weights_only=True)
    assert content["version"] == 1 and "val_dice" not in json.loads(content["meta"])
    model, meta = load_checkpoint(FORMAT_1)
    assert (meta.model, meta.width, meta.size, meta.threshold) == ("unet", 1, 32, 0.5)
    assert meta.params["train"]["ema"] == 0.0  # a param that no longer exists
    assert meta.val_dice is None and meta.started_from is None and meta.geometry == Geometry(32)
    assert all(torch.equal(model.state_dict()[name], each) for name, each in content["weights"].items())


def test_a_field_that_was_added_later_has_a_default() -> None:
    required = {name for name, field in Metadata.model_fields.items() if field.is_required()}
    assert required == set(json.loads(torch.load(FORMAT_1, weights_only=True)["meta"]))


def test_an_older_checkpoint_is_written_in_the_present_format(tmp_path: Path) -> None:
    model, meta = load_checkpoint(FORMAT_1)
    path = tmp_path / "new.pt"
    path.write_bytes(checkpoint_bytes(model.state_dict(), meta.model_copy(update={"val_dice": 0.5})))
    assert torch.load(path, weights_only=True)["version"] == VERSION == 6
    assert load_checkpoint(path).meta.val_dice == 0.5


def test_a_newer_format_is_refused_in_one_line(tmp_path: Path) -> None:
    content = torch.load(FORMAT_1, weights_only=True)
    path = tmp_path / "newer.pt"
    torch.save({**content, "version": VERSION + 1, "meta": "whatever comes then"}, path)
    with pytest.raises(InputError, match=f"newer version of this program .format {VERSION + 1};") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)
