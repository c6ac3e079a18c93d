"""One training run, from params and data to checkpoint, curves and metrics: the work of both train stages."""

from contextlib import nullcontext

import torch
from torch import Tensor

from stages.segmentation.augmentation import Augmentation
from stages.segmentation.cache import caches
from stages.segmentation.checkpoints import Meta, save_checkpoint
from stages.segmentation.dataset import Batches, SegmentationDataset
from stages.segmentation.devices import (
    choose_device,
    choose_precision,
    loader_workers,
    on_device,
    prepare_cpu,
)
from stages.segmentation.errors import InputError
from stages.segmentation.files import read_json, write_json
from stages.segmentation.inference import Normalization, Runner, predict
from stages.segmentation.launch import launch
from stages.segmentation.layout import CHECKPOINTS, METRICS, PLOTS, RAW, RUNS, SPLIT, STATS
from stages.segmentation.models import build_model
from stages.segmentation.parallel import joined, launched, rank, world
from stages.segmentation.params import Params
from stages.segmentation.scores import REPORT_BATCH
from stages.segmentation.stats import choose_stats
from stages.segmentation.tracking import (
    epoch_line,
    log_epoch,
    log_pictures,
    open_board,
    start_line,
    write_csv,
)
from stages.segmentation.training import Row, fit

THRESHOLD = 0.5  # probability from which a pixel is foreground
SHOWN = 8  # validation pictures on TensorBoard


def train_network(name: str, params: Params, workers: int | None = None) -> None:
    """Train the network `name` and write its checkpoint, curves and metrics.

    The weights kept are those of the first epoch with the best validation score, by `train.monitor`.
    `workers` processes prepare the pictures; the result does not depend on their number. Under `torchrun`
    several processes train together, and the first one writes.
    """
    if params.train.processes > 1 and not launched():
        launch(f"stages.train_{name}", params.train.processes)
        return
    prepare_cpu()
    device = choose_device()
    with joined(device):
        _train(name, params, device, loader_workers(device) if workers is None else workers)


def _train(name: str, params: Params, device: torch.device, workers: int) -> None:
    settings, writes = params.train, rank() == 0
    normalization = Normalization(*choose_stats(params.image.normalize, read_json(STATS, "compute_stats")))
    runner = Runner(device, choose_precision(settings.precision, device), normalization)
    train, val = _batches(params, workers)
    images, masks = _evenly_spaced_pictures(val.dataset)
    torch.manual_seed(settings.seed)
    model = on_device(build_model(name, params.model.width, params.model.dropout, params.model.init), device)
    if writes:
        print(f"{name}: {start_line(train, val, runner)}", flush=True)

    rows: list[Row] = []
    best, best_score = 0, -1.0
    with open_board(RUNS / name) if writes else nullcontext() as board:
        for row, pace, scored in fit(model, train, val, settings, runner, THRESHOLD):
            rows.append(row)
            score = row["val_dice"] if settings.monitor == "dice" else row["val_dice_report"]
            better = score > best_score
            if better:
                best, best_score = len(rows) - 1, score
            if board is None:
                continue
            write_csv(PLOTS / f"train_{name}.csv", rows)
            if better:
                save_checkpoint(CHECKPOINTS / f"{name}.pt", scored, _meta(name, params, runner, row["epoch"]))
            log_epoch(board, row, pace)
            log_pictures(board, row["epoch"], images, masks, predict(scored, images, runner, THRESHOLD))
            print(f"{name}: {epoch_line(row, settings.epochs, pace)}", flush=True)
    if writes:
        summary = {key: rows[best][key] for key in ("val_dice", "val_dice_report", "epoch")}
        write_json(METRICS / f"train_{name}.json", summary | {"epochs": len(rows)})


def _batches(params: Params, workers: int) -> tuple[Batches, Batches]:
    """The training pictures, shuffled and changed at random, and the validation pictures as they are."""
    split, seed = read_json(SPLIT, "split"), params.train.seed
    size, foreground, batch_size = params.image.size, params.data.foreground, params.train.batch_size
    if min(batch_size, len(split["train"])) < world():
        raise InputError(
            f"{world()} processes need as many pictures a step, but train.batch_size = {batch_size} and"
            f" {len(split['train'])} pictures train; lower train.processes"
        )
    counts = [len(split[part]) for part in ("train", "val")]
    kept, val_kept = caches(counts, size, params.machine.cache_bytes, shared=workers > 0)
    train = SegmentationDataset(
        RAW, split["train"], size, foreground, Augmentation(params.augment), seed, kept
    )
    val = SegmentationDataset(RAW, split["val"], size, foreground, cache=val_kept)
    if not any(train.read_mask(position).any() for position in range(len(train))):
        raise InputError(
            f"{RAW}: no training picture shows any foreground; check its masks and data.foreground"
        )
    return (
        Batches(train, batch_size, shuffle_seed=seed, workers=workers),
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
        processes=world(),
        precision=runner.precision,
        params=used | {"data": {"foreground": params.data.foreground}},
    )
