"""One training run, from params and data to checkpoint, curves and metrics: the work of both train stages."""

import torch
from torch import Tensor

from stages.segmentation.checkpoints import Meta, save_checkpoint
from stages.segmentation.dataset import Batches, SegmentationDataset, augmentation
from stages.segmentation.devices import choose_device, choose_precision, loader_workers
from stages.segmentation.errors import InputError
from stages.segmentation.files import read_json, write_json
from stages.segmentation.inference import Normalization, Runner, predict
from stages.segmentation.layout import CHECKPOINTS, METRICS, PLOTS, RAW, RUNS, SPLIT, STATS
from stages.segmentation.models import build_model
from stages.segmentation.params import Params
from stages.segmentation.scores import REPORT_BATCH
from stages.segmentation.stats import choose_stats
from stages.segmentation.tracking import log_epoch, log_pictures, open_board, write_csv
from stages.segmentation.training import Row, fit

THRESHOLD = 0.5  # probability from which a pixel is foreground
SHOWN = 8  # validation pictures on TensorBoard


def train_network(name: str, params: Params, workers: int | None = None) -> None:
    """Train the network `name` and write its checkpoint, curves and metrics.

    The weights kept are those of the first epoch with the best validation score, by `train.monitor`.
    `workers` processes prepare the pictures; the result does not depend on their number.
    """
    settings, device = params.train, choose_device()
    normalization = Normalization(*choose_stats(params.image.normalize, read_json(STATS, "compute_stats")))
    runner = Runner(device, choose_precision(settings.precision, device), normalization)
    train, val = _batches(params, loader_workers(device) if workers is None else workers)
    images, masks = _evenly_spaced_pictures(val.dataset)
    torch.manual_seed(settings.seed)
    model = build_model(name, params.model.width, params.model.dropout, params.model.init)
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    sizes = f"{len(train.dataset)} pictures train, {len(val.dataset)} validate"
    print(f"{name}: {sizes}; on {device.type} in {runner.precision}", flush=True)

    rows: list[Row] = []
    best, best_score = 0, -1.0
    with open_board(RUNS / name) as board:
        for row, speed in fit(model, train, val, settings, runner, THRESHOLD):
            rows.append(row)
            write_csv(PLOTS / f"train_{name}.csv", rows)
            score = row["val_dice"] if settings.monitor == "dice" else row["val_dice_report"]
            if score > best_score:
                best, best_score = len(rows) - 1, score
                save_checkpoint(CHECKPOINTS / f"{name}.pt", model, _meta(name, params, runner, row["epoch"]))
            log_epoch(board, row, speed)
            log_pictures(board, row["epoch"], images, masks, predict(model, images, runner, THRESHOLD))
            print(f"{name}: {_line(row, settings.epochs, speed)}", flush=True)
    write_json(
        METRICS / f"train_{name}.json",
        {key: rows[best][key] for key in ("val_dice", "val_dice_report", "epoch")} | {"epochs": len(rows)},
    )


def _batches(params: Params, workers: int) -> tuple[Batches, Batches]:
    """The training pictures, shuffled and changed at random, and the validation pictures as they are."""
    split, seed = read_json(SPLIT, "split"), params.train.seed
    transform = augmentation(params.augment.affine, params.augment.flip)
    size, foreground = params.image.size, params.data.foreground
    train = SegmentationDataset(RAW, split["train"], size, foreground, transform, seed)
    val = SegmentationDataset(RAW, split["val"], size, foreground)
    if not any(train.read_mask(position).any() for position in range(len(train))):
        raise InputError(
            f"{RAW}: no training picture shows any foreground; check its masks and data.foreground"
        )
    return (
        Batches(train, params.train.batch_size, shuffle_seed=seed, workers=workers),
        Batches(val, REPORT_BATCH, workers=workers),
    )


def _evenly_spaced_pictures(dataset: SegmentationDataset) -> tuple[Tensor, Tensor]:
    """At most `SHOWN` pictures `(N, 3, H, W)` and their masks `(N, 1, H, W)`, the same in every epoch."""
    count = min(SHOWN, len(dataset))
    pairs = [dataset[0, i * len(dataset) // count] for i in range(count)]
    return torch.stack([image for image, _ in pairs]), torch.stack([mask for _, mask in pairs])


def _meta(name: str, params: Params, runner: Runner, epoch: int) -> Meta:
    used = {group: getattr(params, group).model_dump() for group in ("image", "model", "augment", "train")}
    return Meta(
        model=name,
        width=params.model.width,
        size=params.image.size,
        mean=runner.normalization.mean,
        std=runner.normalization.std,
        threshold=THRESHOLD,
        foreground=params.data.foreground,
        epoch=epoch,
        device=runner.device.type,
        precision=runner.precision,
        params=used | {"data": {"foreground": params.data.foreground}},
    )


def _line(row: Row, epochs: int, speed: float) -> str:
    return (
        f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}  "
        f"loss {row['train_loss']:.4f}  dice {row['train_dice']:.4f}  "
        f"val loss {row['val_loss']:.4f}  val dice {row['val_dice']:.4f}  {speed:.0f} pictures/s"
    )
