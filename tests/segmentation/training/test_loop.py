from pathlib import Path

import pytest
import torch
from conftest import DEFAULTS

from segmentation.common.dataset_layout import TRAINVAL, read_list
from segmentation.common.errors import Fault
from segmentation.inference.dataset_pass import Normalization, Runner, score
from segmentation.loading.dataset import Batches, SegmentationDataset
from segmentation.models.build import NAMES, build_model
from segmentation.params import Train
from segmentation.training.loop import Epoch, Row, Training, halved
from segmentation.training.losses import LOSSES

RUNNER = Runner(torch.device("cpu"), "float32", Normalization([0.5] * 3, [0.25] * 3))


def settings(**changes: object) -> Train:
    return DEFAULTS.train.model_copy(update={"epochs": 3, "batch_size": 4, **changes})


def epochs(sample: Path, name: str, train: Train, images: int = 9) -> list[Epoch]:
    dataset = SegmentationDataset(sample, read_list(sample / TRAINVAL)[:images], 64, ["pet", "border"])
    torch.manual_seed(0)
    model = build_model(name, width=4)
    return list(Training(model, Batches(dataset, 4, 0), Batches(dataset, 8), train, RUNNER, 0.5).epochs())


def rows(sample: Path, name: str, train: Train, images: int = 9) -> list[Row]:
    return [epoch.row for epoch in epochs(sample, name, train, images)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("loss", LOSSES)
def test_it_learns(sample: Path, name: str, loss: str) -> None:
    found = rows(sample, name, settings(epochs=6, loss=loss, lr=0.01))  # 9 pictures: the last batch holds 1
    assert [row["epoch"] for row in found] == [1, 2, 3, 4, 5, 6]
    assert found[-1]["train_loss"] < found[0]["train_loss"] - 0.05
    assert all(0 <= row["val_dice"] <= 1 for row in found)


@pytest.mark.parametrize("images", [4, 9])
def test_a_loss_that_is_not_finite_names_epoch_and_step(sample: Path, images: int) -> None:
    with pytest.raises(
        Fault, match=r"training loss is not finite at epoch 1, step \d of \d; lower train\.lr \(now 1e\+30\)"
    ):
        rows(sample, "unet", settings(lr=1e30, schedule="constant", warmup=0.0), images=images + 4)


def test_validation_loss_weighs_pictures_alike(sample: Path) -> None:
    dataset = SegmentationDataset(sample, read_list(sample / TRAINVAL)[:9], 64, ["pet", "border"])
    model, loss = build_model("unet", width=4), LOSSES["bce_dice"]
    single = score(model, Batches(dataset, 1).epoch(0), RUNNER, 0.5, loss)
    parts = [
        score(
            model,
            Batches(SegmentationDataset(sample, [each], 64, ["pet", "border"]), 1).epoch(0),
            RUNNER,
            0.5,
            loss,
        ).loss
        for each in dataset.ids
    ]
    assert single.loss == pytest.approx(sum(parts) / 9, rel=1e-5)
    assert (single.counts == score(model, Batches(dataset, 8).epoch(0), RUNNER, 0.5).counts).all()


def test_the_average_is_what_is_scored(sample: Path) -> None:
    dataset = SegmentationDataset(sample, read_list(sample / TRAINVAL)[:9], 64, ["pet", "border"])
    model, loss = build_model("unet", width=4), LOSSES["bce_dice"]
    batches = Batches(dataset, 4, 0), Batches(dataset, 8)
    for epoch in Training(model, *batches, settings(ema=0.9, epochs=2), RUNNER, 0.5).epochs():
        assert epoch.model is not model and not epoch.model.training
        assert score(epoch.model, batches[1].epoch(0), RUNNER, 0.5, loss).loss == epoch.row["val_loss"]
        assert score(model, batches[1].epoch(0), RUNNER, 0.5, loss).loss != epoch.row["val_loss"]


def test_an_average_leaves_training_as_it_is(sample: Path) -> None:
    plain, averaged = (rows(sample, "unet", settings(ema=ema)) for ema in (0.0, 0.9))
    assert [row["train_loss"] for row in plain] == [row["train_loss"] for row in averaged]
    assert [row["val_loss"] for row in plain] != [row["val_loss"] for row in averaged]


def test_a_small_clip_slows_adamw_not_at_all_but_changes_the_weights(sample: Path) -> None:
    # Adam divides by the size of the gradients: only their relation over time counts.
    plain, clipped = (rows(sample, "unet", settings(clip=clip)) for clip in (None, 0.01))
    assert plain[0]["train_loss"] != clipped[0]["train_loss"]
    assert clipped[-1]["train_loss"] < clipped[0]["train_loss"] - 0.02


def test_small_pictures_first(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    logits = Runner.logits

    def spy(runner: Runner, model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
        sizes.append(images.shape[-1] if model.training else -images.shape[-1])
        return logits(runner, model, images)

    monkeypatch.setattr(Runner, "logits", spy)
    rows(sample, "unet", settings(epochs=4, small_first=0.5))
    step, validation = [32] * 3, [-64] * 2  # 9 pictures: three steps of 4, two batches of 8
    assert sizes == (step + validation) * 2 + ([64] * 3 + validation) * 2


def test_halved() -> None:
    pixels = torch.tensor([[0, 3, 250, 255, 9], [2, 4, 252, 254, 9]], dtype=torch.uint8)[None, None]
    assert halved(pixels).tolist() == [[[[2, 253]]]]  # means of 2.25 and 252.75; the odd column is left out


def test_the_pace_is_measured(sample: Path) -> None:
    for epoch in epochs(sample, "unet", settings(epochs=2)):
        assert epoch.pace.speed > 1 and 0 < epoch.pace.waiting < 1
