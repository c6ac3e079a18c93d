"""One training run, from params and data to its outputs: the work of both train stages."""

import hashlib
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segmentation.common.errors import InputError
from segmentation.common.dataset_layout import RAW, SPLIT, STATS, Split, Stats
from segmentation.common.files import read_json
from segmentation.common.signals import Asked, Interrupted, deferred
from segmentation.inference.dataset_pass import Normalization, Runner
from segmentation.loading.cache import caches
from segmentation.loading.dataset import Batches, SegmentationDataset
from segmentation.models.build import build_model
from segmentation.params import Params
from segmentation.pixel_stats import choose_stats
from segmentation.runtime.devices import (
    choose_device,
    choose_precision,
    enough_memory,
    loader_workers,
    on_device,
    prepare_cpu,
)
from segmentation.runtime.distributed import joined, launched, of_the_first, rank, world
from segmentation.scoring.scores import REPORT_BATCH
from segmentation.training.augmentation import Augmentation
from segmentation.training.launch import launch
from segmentation.training.loop import Stopped, Training
from segmentation.training.outputs import THRESHOLD, Outputs, used_params
from segmentation.training.resume import States
from segmentation.training.tracking import start_line


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
    lower = "lower train.batch_size, image.size or model.width"
    with joined(device), enough_memory(params.train.batch_size, params.image.size, lower):
        _train(name, params, device, loader_workers(device) if workers is None else workers)


def _train(name: str, params: Params, device: torch.device, workers: int) -> None:
    settings, first = params.train, rank() == 0
    normalization = Normalization(
        *choose_stats(params.image.normalize, read_json(STATS, "compute_stats", Stats))
    )
    runner = Runner(device, choose_precision(settings.precision, device), normalization)
    train, val = _batches(params, workers)
    states = States(name, _inputs(params, runner))
    with deferred(insistent=not launched()) as asked, states.held() if first else nullcontext():
        torch.manual_seed(settings.seed)
        model = build_model(name, params.model.width, params.model.dropout, params.model.init)
        training = Training(on_device(model, device), train, val, settings, runner, THRESHOLD)
        if first:
            print(f"{name}: {start_line(train, val, runner)}", flush=True)
        saved = of_the_first(states.load() if first else None)
        if saved:
            training.load_state_dict(saved["training"])
        outputs = Outputs(name, params, runner, val.dataset) if first else None
        if saved and outputs:
            print(f"{name}: goes on {training.reached}", flush=True)
            outputs.restore(training.rows, saved["checkpoint"].numpy().tobytes())
        _follow(training, asked, outputs, states)
        if outputs:
            outputs.finish(training.rows)
            states.discard()


def _follow(training: Training, asked: Asked, outputs: Outputs | None, states: States) -> None:
    """Train to the end; process 0 writes each epoch's outputs, then the state that goes with them."""

    def save() -> None:
        state = training.state_dict()
        if outputs:
            checkpoint = torch.from_numpy(np.frombuffer(outputs.checkpoint, np.uint8).copy())
            states.save({"training": state, "checkpoint": checkpoint}, len(training.rows))

    try:
        for epoch in training.epochs(lambda: asked.signum):
            if outputs:
                outputs.add(training.rows, epoch)
            save()
    except Stopped as stop:
        save()
        raise Interrupted(stop.args[0], f" {training.reached}; the same command goes on from there") from None


def _inputs(params: Params, runner: Runner) -> dict[str, Any]:
    """All that decides what a training learns, by name; for what is in a file, its hash."""
    values = {
        f"{group}.{key}": value
        for group, leaves in used_params(params).items()
        for key, value in leaves.items()
    }
    files = {str(path): path for path in (SPLIT, STATS)}
    for module, content in sys.modules.items():
        if module.startswith("segmentation.") and content.__file__:
            files[module.replace(".", "/") + ".py"] = Path(content.__file__)
    hashes = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in sorted(files.items())}
    machine = {
        "torch": torch.__version__,
        "device": runner.device.type,
        "precision": runner.precision,
        "processes": world(),
    }
    return values | machine | hashes


def _batches(params: Params, workers: int) -> tuple[Batches, Batches]:
    """The training pictures, shuffled and changed at random, and the validation pictures as they are."""
    split, seed = read_json(SPLIT, "split", Split), params.train.seed
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
