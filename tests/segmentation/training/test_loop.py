from pathlib import Path

import pytest
import torch
from conftest import DEFAULTS

from segmentation.common.dataset_layout import TRAINVAL, read_list
from segmentation.common.errors import Fault
from segmentation.inference.dataset_pass import score
from segmentation.inference.predictor import Predictor
from segmentation.inference.runner import Runner
from segmentation.loading.dataset import SegmentationDataset
from segmentation.loading.loader import Batches
from segmentation.loading.transforms import Normalization
from segmentation.models.build import build_model, network_names
from segmentation.params import Train
from segmentation.training.loop import EpochMetrics, FinishedEpoch, Training
from segmentation.training.losses import LOSSES

FOREGROUND = ["pet", "border"]
RUNNER = Runner(torch.device("cpu"), "float32", Normalization([0.5] * 3, [0.25] * 3))


def settings(**changes: object) -> Train:
    return DEFAULTS.train.model_copy(update={"epochs": 3, "batch_size": 4, **changes})


def dataset(sample: Path, images: int = 9) -> SegmentationDataset:
    return SegmentationDataset(sample, read_list(sample / TRAINVAL)[:images], 64, FOREGROUND)


def epochs(sample: Path, name: str, train: Train, images: int = 9) -> list[FinishedEpoch]:
    data = dataset(sample, images)
    torch.manual_seed(0)
    model = build_model(name, width=4)
    return list(Training(model, Batches(data, 4, 0), Batches(data, 8), train, RUNNER, 0.5).epochs())


def history(sample: Path, name: str, train: Train, images: int = 9) -> list[EpochMetrics]:
    return [epoch.metrics for epoch in epochs(sample, name, train, images)]


@pytest.mark.parametrize("name", network_names())
@pytest.mark.parametrize("loss", LOSSES)
def test_it_learns(sample: Path, name: str, loss: str) -> None:
    found = history(sample, name, settings(epochs=6, loss=loss, lr=0.01))  # 9 images: the last batch holds 1
    assert [metrics["epoch"] for metrics in found] == [1, 2, 3, 4, 5, 6]
    assert found[-1]["train_loss"] < found[0]["train_loss"] - 0.05
    assert all(0 <= metrics["val_dice"] <= 1 for metrics in found)


@pytest.mark.parametrize("images", [4, 9])
def test_a_loss_that_is_not_finite_names_epoch_and_step(sample: Path, images: int) -> None:
    with pytest.raises(
        Fault, match=r"training loss is not finite at epoch 1, step \d of \d; lower train\.lr \(now 1e\+30\)"
    ):
        history(sample, "unet", settings(lr=1e30, schedule="constant", warmup=0.0), images=images + 4)


def test_the_validation_loss_weighs_all_images_equally(sample: Path) -> None:
    data, loss = dataset(sample), LOSSES["bce_dice"]
    predictor = Predictor(build_model("unet", width=4), RUNNER, 64, 0.5)
    single = score(predictor, Batches(data, 1).epoch(0), loss)
    parts = [
        score(predictor, Batches(SegmentationDataset(sample, [each], 64, FOREGROUND), 1).epoch(0), loss).loss
        for each in data.ids
    ]
    assert single.loss == pytest.approx(sum(parts) / 9, rel=1e-5)
    assert (single.counts == score(predictor, Batches(data, 8).epoch(0)).counts).all()


def test_the_average_of_the_weights_is_scored(sample: Path) -> None:
    data, loss = dataset(sample), LOSSES["bce_dice"]
    model = build_model("unet", width=4)
    train, val = Batches(data, 4, 0), Batches(data, 8)
    for epoch in Training(model, train, val, settings(ema=0.9, epochs=2), RUNNER, 0.5).epochs():
        assert epoch.predictor.model is not model and not epoch.predictor.model.training
        val_loss = epoch.metrics["val_loss"]
        assert score(epoch.predictor, val.epoch(0), loss).loss == val_loss
        assert score(Predictor(model, RUNNER, 64, 0.5), val.epoch(0), loss).loss != val_loss


def test_an_average_does_not_change_the_training(sample: Path) -> None:
    plain, averaged = (history(sample, "unet", settings(ema=ema)) for ema in (0.0, 0.9))
    assert [each["train_loss"] for each in plain] == [each["train_loss"] for each in averaged]
    assert [each["val_loss"] for each in plain] != [each["val_loss"] for each in averaged]


def test_a_small_clip_slows_adamw_not_at_all_but_changes_the_weights(sample: Path) -> None:
    # Adam divides by the size of the gradients: only their relation over time counts.
    plain, clipped = (history(sample, "unet", settings(clip=clip)) for clip in (None, 0.01))
    assert plain[0]["train_loss"] != clipped[0]["train_loss"]
    assert clipped[-1]["train_loss"] < clipped[0]["train_loss"] - 0.02


def test_small_images_first(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    logits = Runner.logits

    def spy(runner: Runner, model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
        sizes.append(images.shape[-1] if model.training else -images.shape[-1])
        return logits(runner, model, images)

    monkeypatch.setattr(Runner, "logits", spy)
    history(sample, "unet", settings(epochs=4, small_first=0.5))
    step, validation = [32] * 3, [-64] * 2  # 9 images: three steps of 4, two batches of 8
    assert sizes == (step + validation) * 2 + ([64] * 3 + validation) * 2


def test_the_throughput_is_measured(sample: Path) -> None:
    for epoch in epochs(sample, "unet", settings(epochs=2)):
        assert epoch.throughput.images_per_second > 1 and 0 < epoch.throughput.waiting < 1
