from pathlib import Path

import pytest
from projects import DEFAULTS

from segmentation.common.artifacts import checkpoint_path
from segmentation.common.errors import InputError
from segmentation.common.files import write_bytes
from segmentation.evaluation.evaluation import load_checkpoints
from segmentation.inference.predictor import Predictor
from segmentation.models.build import build_model, network_names
from segmentation.models.checkpoints import UNTRAINED, Checkpoint, Metadata, checkpoint_bytes
from segmentation.runtime.devices import available_precision, choose_device


def metadata(name: str, **changes: object) -> Metadata:
    values = {
        "model": name, "width": 4, "size": 64, "mean": [0.5] * 3, "std": [0.2] * 3, "threshold": 0.5,
        "foreground": ["pet"], "epoch": 1, "device": "cpu", "processes": 1, "precision": "float32",
        "params": {},
    }  # fmt: skip
    return Metadata.model_validate(values | changes)


@pytest.mark.parametrize(
    ("trained", "expected"), [("float32", "float32"), ("tf32", "float32"), ("bf16", None)]
)
def test_a_network_is_scored_in_the_number_format_of_its_training(trained: str, expected: str | None) -> None:
    checkpoint = Checkpoint(build_model("unet", 4), metadata("unet", precision=trained))
    found = Predictor.from_checkpoint(checkpoint).runner.precision
    assert found == (expected or available_precision("bf16", choose_device()))


def test_all_networks_are_evaluated_on_the_same_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    models = {name: build_model(name, 4) for name in network_names()}
    for name, model in models.items():
        write_bytes(checkpoint_path(name), checkpoint_bytes(model.state_dict(), metadata(name)))
    assert list(load_checkpoints(DEFAULTS.networks)) == network_names()
    for change in ({"size": 96}, {"resize": "area"}, {"foreground": ["border"]}):
        changed = checkpoint_bytes(models["resnet"].state_dict(), metadata("resnet", **change))
        write_bytes(checkpoint_path("resnet"), changed)
        with pytest.raises(InputError, match="checkpoints: trained for different image settings"):
            load_checkpoints(DEFAULTS.networks)
    checkpoint_path("resnet").unlink()
    with pytest.raises(InputError, match=r"checkpoints/resnet\.pt: no such checkpoint"):
        load_checkpoints(DEFAULTS.networks)


def test_only_wanted_networks_are_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old checkpoint of another network is not even read."""
    monkeypatch.chdir(tmp_path)
    write_bytes(checkpoint_path("resnet"), b"an old one")
    write_bytes(
        checkpoint_path("unet"), checkpoint_bytes(build_model("unet", 4).state_dict(), metadata("unet"))
    )
    alone = DEFAULTS.networks.model_copy(update={"resnet": False})
    assert list(load_checkpoints(alone)) == ["unet"]
    write_bytes(checkpoint_path("resnet"), bytes(len(UNTRAINED)))  # a damaged file
    with pytest.raises(InputError, match=r"resnet\.pt: not a checkpoint of this program"):
        load_checkpoints(DEFAULTS.networks)
    write_bytes(checkpoint_path("resnet"), UNTRAINED)
    with pytest.raises(InputError, match=r"resnet\.pt: not trained, as networks\.resnet was false"):
        load_checkpoints(DEFAULTS.networks)
