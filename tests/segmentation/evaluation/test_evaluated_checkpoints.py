import pytest

from segmentation.inference.predictor import Predictor
from segmentation.models.build import build_model
from segmentation.models.checkpoints import Checkpoint, Metadata
from segmentation.runtime.devices import choose_device, choose_precision


@pytest.mark.parametrize(("trained", "expected"), [("float32", "float32"), ("bf16", None)])
def test_a_network_is_scored_in_the_number_format_of_its_training(trained: str, expected: str | None) -> None:
    meta = Metadata(
        model="unet", width=4, size=64, mean=[0.5] * 3, std=[0.2] * 3, threshold=0.5, foreground=["pet"],
        epoch=1, device="cpu", processes=1, precision=trained, params={},
    )  # fmt: skip
    predictor = Predictor.from_checkpoint(Checkpoint(build_model("unet", 4), meta))
    assert predictor.runner.precision == (expected or choose_precision("auto", choose_device()))
