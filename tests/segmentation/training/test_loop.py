import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from projects import DEFAULTS, unchanged_crops

from segmentation.common.dataset_layout import TRAINVAL, read_list
from segmentation.common.errors import Fault
from segmentation.common.geometry import Geometry
from segmentation.common.signals import Interrupted, StopRequest
from segmentation.inference.predictor import Predictor, Runner
from segmentation.loading.dataset import SegmentationDataset
from segmentation.loading.transforms import Normalization
from segmentation.models.build import build_model, network_names
from segmentation.params import Train
from segmentation.training.loader import Batches
from segmentation.training.loop import Training
from segmentation.training.losses import LOSSES
from segmentation.training.tracking import epoch_line
from segmentation.training.validation import EpochMetrics, score

FOREGROUND = ["pet", "border"]
RUNNER = Runner(torch.device("cpu"), "float32", Normalization([0.5] * 3, [0.25] * 3))


def settings(**changes: object) -> Train:
    return DEFAULTS.train.model_copy(update={"epochs": 3, "min_steps": 0, "batch_size": 4, **changes})


def dataset(sample: Path, images: int = 9) -> SegmentationDataset:
    return SegmentationDataset(sample, read_list(sample / TRAINVAL)[:images], Geometry(64), FOREGROUND)


def training(
    sample: Path,
    name: str,
    train: Train,
    images: int = 9,
) -> Training:
    data = dataset(sample, images)
    torch.manual_seed(0)
    model = build_model(name, width=4)
    train_batches = Batches(unchanged_crops(data), 4, 0)
    return Training(model, train_batches, Batches(data, 8), train, RUNNER, StopRequest())


def history(sample: Path, name: str, train: Train, images: int = 9) -> list[EpochMetrics]:
    trained = training(sample, name, train, images)
    while trained.epoch <= train.epochs:
        trained.train_epoch()
        trained.validate()
    return trained.history


@pytest.mark.parametrize("name", network_names())
@pytest.mark.parametrize("loss", LOSSES)
def test_it_learns(sample: Path, name: str, loss: str) -> None:
    found = history(sample, name, settings(epochs=6, loss=loss, lr=0.01))  # 9 images: the last batch holds 1
    assert [metrics["epoch"] for metrics in found] == [1, 2, 3, 4, 5, 6]
    assert found[-1]["train_loss"] < found[0]["train_loss"] - 0.05
    assert all(0 <= metrics["val_dice"] <= 1 for metrics in found)


@pytest.mark.parametrize("images", [4, 9])
def test_a_loss_that_is_not_finite_is_a_fault(sample: Path, images: int) -> None:
    with pytest.raises(
        Fault, match=r"the (training|validation) loss is nan in epoch 1; lower train\.lr \(now 1e\+30\)"
    ):
        history(sample, "unet", settings(lr=1e30, schedule="constant", warmup=0.0), images=images + 4)


def test_the_validation_loss_weighs_all_images_equally(sample: Path) -> None:
    data, loss = dataset(sample), LOSSES["bce_dice"]
    predictor = Predictor(build_model("unet", width=4), RUNNER, Geometry(64), 0.5)
    single = score(predictor, Batches(data, 1).epoch(0), loss)
    parts = [
        score(
            predictor,
            Batches(SegmentationDataset(sample, [each], Geometry(64), FOREGROUND), 1).epoch(0),
            loss,
        ).loss
        for each in data.ids
    ]
    assert single.loss == pytest.approx(sum(parts) / 9, rel=1e-5)
    assert (single.counts == score(predictor, Batches(data, 8).epoch(0), loss).counts).all()


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


@pytest.mark.parametrize(
    ("share", "epochs", "small"), [(0.29, 100, 29), (0.5, 3, 1), (1.0, 7, 7), (0.0, 5, 0)]
)
def test_the_number_of_epochs_with_small_images_is_exact(
    sample: Path, share: float, epochs: int, small: int
) -> None:
    assert training(sample, "unet", settings(small_first=share, epochs=epochs)).small_epochs == small


@pytest.mark.parametrize(("min_steps", "epochs"), [(0, 2), (6, 2), (7, 3), (10, 4)])
def test_few_images_are_passed_over_more_often(sample: Path, min_steps: int, epochs: int) -> None:
    """9 images are 3 steps: the rate falls to 0 at the end of the last epoch, wherever that is."""
    trained = training(sample, "unet", settings(epochs=2, min_steps=min_steps, schedule="cosine"))
    while trained.epoch <= trained.epochs:
        trained.train_epoch()
        trained.validate()
    assert len(trained.history) == trained.epochs == epochs
    assert trained.lr == pytest.approx(0, abs=1e-9)


def test_the_work_left_counts_pixels_and_scoring(sample: Path) -> None:
    trained = training(sample, "unet", settings(epochs=4, small_first=0.25))  # 9 images train and validate
    assert trained.work_left == 9 / 4 + 3 * 9 + 4 * 9 / 3
    trained.epoch, trained.step = 2, 1
    assert trained.work_left == 3 * 9 - 9 / 3 + 3 * 9 / 3


@pytest.mark.parametrize("small_first", [0.0, 0.5, 1.0])
def test_a_steady_training_is_told_how_long_it_takes(
    sample: Path, small_first: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that runs at 7 images of full size a second, after a first step that took a minute."""
    trained = training(sample, "unet", settings(epochs=4, small_first=small_first))
    work, told = trained.work_left, list[str]()
    monkeypatch.setattr(
        time, "perf_counter", lambda: 60 * (trained.work_left < work) + (work - trained.work_left) / 7
    )
    while trained.epoch <= trained.epochs:
        trained.train_epoch()
        trained.validate()
        told.append(trained.time_left)
        assert told[-1] == str(timedelta(seconds=round(trained.work_left / 7)))
    assert epoch_line(trained.history[-1], trained).endswith(" GB, 0:00:00 left")


def slowed(work: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    def slow(*arguments: Any) -> Any:
        time.sleep(seconds)
        return work(*arguments)

    return slow


def test_the_throughput_is_measured(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = training(sample, "unet", settings())
    monkeypatch.setattr(SegmentationDataset, "read", slowed(SegmentationDataset.read, 0.03))
    monkeypatch.setattr(trained, "_train_step", slowed(trained._train_step, 0.1))
    started = time.perf_counter()
    trained.train_epoch()
    taken, (images_per_second, waiting) = time.perf_counter() - started, trained.throughput
    assert images_per_second == pytest.approx(9 / taken, rel=0.1)
    assert 9 * 0.03 <= waiting * taken <= taken - 3 * 0.1  # three steps


def test_a_signal_ends_it_after_a_step_and_it_resumes_to_the_same_weights(sample: Path) -> None:
    whole, stopped = (training(sample, "resnet", settings(epochs=2)) for _ in range(2))
    for _ in range(2):
        whole.train_epoch()
        whole.validate()
    stopped.train_epoch()
    stopped.validate()
    stopped.stop.signum = 15
    with pytest.raises(Interrupted):
        stopped.train_epoch()
    assert (stopped.epoch, stopped.step) == (2, 1)
    resumed = training(sample, "resnet", settings(epochs=2))
    resumed.load_state_dict(stopped.state_dict())
    torch.manual_seed(99)  # no random state is part of it
    resumed.train_epoch()
    resumed.validate()
    assert resumed.history == whole.history
    assert all(map(torch.equal, resumed.model.state_dict().values(), whole.model.state_dict().values()))
