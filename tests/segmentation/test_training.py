from pathlib import Path

import pytest
import torch
import yaml

from stages.segmentation.dataset import Batches, SegmentationDataset
from stages.segmentation.errors import Fault
from stages.segmentation.inference import Normalization, Runner, score
from stages.segmentation.layout import TRAINVAL, read_list
from stages.segmentation.losses import LOSSES
from stages.segmentation.models import NAMES, build_model
from stages.segmentation.params import Params, Train
from stages.segmentation.training import Row, fit, lr_factor, make_optimizer

RUNNER = Runner(torch.device("cpu"), "float32", Normalization([0.5] * 3, [0.25] * 3))
DEFAULTS = Params.model_validate(
    yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())
).train


def settings(**changes: object) -> Train:
    return DEFAULTS.model_copy(update={"epochs": 3, "batch_size": 4, **changes})


def rows(sample: Path, name: str, train: Train, images: int = 9) -> list[Row]:
    dataset = SegmentationDataset(sample, read_list(sample / TRAINVAL)[:images], 64, ["pet", "border"])
    model = build_model(name, width=4)
    return [row for row, _ in fit(model, Batches(dataset, 4, 0), Batches(dataset, 8), train, RUNNER, 0.5)]


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


def test_the_learning_rate() -> None:
    cosine = [lr_factor(step, 100, "cosine", 0.1) for step in range(100)]
    assert cosine[:10] == pytest.approx([(i + 1) / 11 for i in range(10)])
    assert cosine[10] == 1.0 and cosine[55] == pytest.approx(0.5) and 0 < cosine[99] < 0.001
    assert cosine[10:] == sorted(cosine[10:], reverse=True)
    assert [lr_factor(step, 100, "constant", 0.0) for step in (0, 50, 99)] == [1.0, 1.0, 1.0]
    assert lr_factor(0, 1, "cosine", 0.9) > 0
    assert lr_factor(1, 1, "cosine", 0.9) == 1.0  # asked for after the last step, and never used


@pytest.mark.parametrize(("name", "decoupled"), [("adam", False), ("adamw", True)])
def test_weight_decay_is_l2_or_decoupled(name: str, decoupled: bool) -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(model.weight)
    optimizer = make_optimizer(model, settings(optimizer=name, lr=0.01, weight_decay=0.5))
    model.weight.grad = torch.zeros(1, 1)
    optimizer.step()
    # Decoupled: w - lr * decay * w. In the gradient: Adam turns any first gradient into a step of lr.
    assert model.weight.item() == pytest.approx(1 - 0.01 * 0.5 if decoupled else 1 - 0.01, abs=1e-6)


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
