"""Time to a score: how long a recipe trains until the validation images reach a Dice.

    python -m benchmarks.time_to_dice [--target 0.87] [--presets pets lab_report] [--plain]
                                      [--network resnet] [--width 32] [--size 128] [--seeds 0 1 2]

Trains on the images of data/split.json, so run `dvc repro compute_stats` first, with the `data` settings that
you mean. The score is the Dice pooled over all validation images, at the threshold that suits them best on
average. The time runs from the first look at the data until the validation that reaches the target, with all
validations, but without importing torch. Learning rates follow the preset's whole schedule; a run that does
not reach the target, or has none, ends with its last epoch. --plain adds the lab report's recipe in its plain
loop, instead of this engine. GFLOP are the arithmetic of the training, without validations and optimizer.
Each run is a process of its own, and a row of docs/records.csv.
"""

import csv
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import torch
from torch.utils.data import DataLoader

from benchmarks.runner import in_a_process
from benchmarks.train_step import plain_step, training_flop
from segmentation.common.artifacts import SPLIT, STATS, Split, Stats
from segmentation.common.command_line import make_parser, run
from segmentation.common.errors import InputError
from segmentation.common.files import read_json
from segmentation.common.seeds import Purpose, torch_seed
from segmentation.common.signals import StopRequest
from segmentation.inference.predictor import Predictor, Runner
from segmentation.loading.transforms import choose_normalization
from segmentation.models.build import build_model, network_names
from segmentation.params import Params, check_params, read_params
from segmentation.runtime.devices import choose_device, choose_precision, describe, prepare, to_device
from segmentation.scoring.scores import dice
from segmentation.scoring.threshold import (
    BINS,
    DEFAULT_THRESHOLD,
    BinCounts,
    choose_threshold,
    counts_on_grid,
)
from segmentation.training.loop import Training
from segmentation.training.losses import LOSSES
from segmentation.training.run import make_batches
from segmentation.training.validation import score

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "docs/records.csv"
COLUMNS = "recipe", "loop", "seed", "reached", "minutes", "epochs", "gflop", "dice_pooled", "hardware"
CODE = ("benchmarks", "presets", "segmentation", "stages")


class Epoch(NamedTuple):
    """The pooled Dice of its validation, and the side and number of the images that it trained on."""

    pooled: float
    side: int
    images: int


def pooled_dice(bins: BinCounts) -> float:
    """Return the Dice pooled over all images at the threshold that is best for their mean Dice."""
    chosen = round(choose_threshold(bins)[0] * BINS) - 1
    return float(dice(counts_on_grid(bins)[:, chosen].sum(axis=0)))


def by_engine(name: str, params: Params, device: torch.device, runner: Runner) -> Iterator[Epoch]:
    """Train by this project's engine; yield each epoch."""
    train, val = make_batches(params, device)
    with closing(train), closing(val):
        model = build_model(name, params.model.width, params.model.dropout, params.model.init)
        training = Training(to_device(model, device), train, val, params.train, runner, StopRequest())
        while training.epoch <= training.epochs:
            training.train_epoch()
            training.validate()
            assert training.scores
            side = params.image.size // (2 if training.epoch - 1 <= training.small_epochs else 1)
            yield Epoch(pooled_dice(training.scores.bins), side, len(train.dataset))


def by_plain_loop(name: str, params: Params, device: torch.device, runner: Runner) -> Iterator[Epoch]:
    """Train as the lab report does, likewise: float32, each image decoded again at each step."""
    uncached = params.model_copy(update={"machine": params.machine.model_copy(update={"cache_bytes": 0})})
    train, val = make_batches(uncached, device)
    with closing(train), closing(val):
        model = build_model(name, params.model.width, params.model.dropout, params.model.init).to(device)
        step = plain_step(model, device)
        predictor = Predictor(model, runner, train.dataset.geometry, DEFAULT_THRESHOLD)
        for epoch in range(1, params.train.epochs + 1):
            model.train()
            keys = [(epoch, index) for index in torch.randperm(len(train.dataset)).tolist()]
            for images, masks, _ in DataLoader(train.dataset, params.train.batch_size, sampler=keys):
                step(images, masks)
            model.eval()
            scored = score(predictor, val.epoch(), LOSSES[params.train.loss])
            yield Epoch(pooled_dice(scored.bins), params.image.size, len(train.dataset))


LOOPS = {"engine": by_engine, "plain": by_plain_loop}


def params_of(preset: str, size: int, width: int, seed: int) -> Params:
    """Return a preset's params with the size, width and seed; raises `InputError` if one of them is bad."""
    values = read_params(ROOT / f"presets/{preset}.yaml")
    values["image"]["size"], values["model"]["width"], values["train"]["seed"] = size, width, seed
    return check_params(values, Path(f"preset {preset} with these options"))


def train(
    code: str, loop: str, preset: str, network: str, params: Params, target: float | None
) -> dict[str, str | int | float]:
    """Train until the target is reached; return the row of this run of the commit `code`."""
    device, seed = choose_device(), params.train.seed
    if loop == "engine":
        prepare(device)
    precision = "float32" if loop == "plain" else choose_precision(params.train.precision, device)
    normalization = choose_normalization(params.image.normalize, read_json(STATS, "compute_stats", Stats))
    torch.manual_seed(torch_seed(Purpose.WEIGHTS, seed))
    started, epochs, minutes = time.perf_counter(), [], 0.0
    for epoch in LOOPS[loop](network, params, device, Runner(device, precision, normalization)):
        epochs.append(epoch)
        minutes = (time.perf_counter() - started) / 60
        print(f"epoch {len(epochs)}: {epoch.pooled:.4f}, {minutes:.1f} minutes", flush=True)
        if target and epoch.pooled >= target:
            break
    pooled, width = epochs[-1].pooled, params.model.width
    flop = sum(epoch.images * training_flop(network, width, epoch.side) for epoch in epochs)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": code,
        "hardware": describe(device),
        "network": network,
        "threads": torch.get_num_threads(),
        "width": width,
        "size": params.image.size,
        "recipe": preset,
        "loop": loop,
        "precision": precision,
        "seed": seed,
        "target": target or "",
        "reached": ("yes" if pooled >= target else "no") if target else "",
        "minutes": round(minutes, 2),
        "epochs": len(epochs),
        "gflop": round(flop / 1e9, 1),
        "dice_pooled": round(pooled, 4),
    }


def commit() -> str:
    """Return the commit of this code; with a + if the code was changed since."""
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
        )
        changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", *CODE], cwd=ROOT)
    except FileNotFoundError:
        return "?"
    return head.stdout.strip() + "+" * bool(changed.returncode)


def record(row: dict[str, str | int | float]) -> None:
    """Add a row to docs/records.csv."""
    new = not RECORDS.exists()
    with RECORDS.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def main(
    target: float | None,
    presets: list[str],
    plain: bool,
    network: str,
    width: int,
    size: int,
    seeds: list[int],
) -> None:
    """Take the runs one after the other, and print a line for each."""
    if target is not None and not 0 < target <= 1:
        raise InputError(f"--target {target}: must be above 0, at most 1")
    sides = [("engine", preset) for preset in presets] + [("plain", "lab_report")] * plain
    runs = [
        (loop, preset, network, params_of(preset, size, width, seed), target)
        for seed in seeds
        for loop, preset in sides
    ]
    code = commit()
    read_json(SPLIT, "split", Split)
    read_json(STATS, "compute_stats", Stats)
    print(f"{network} of width {width}, {size}x{size}, target {target}; commit {code}")
    print("".join(f"{column:<12}" for column in COLUMNS))
    for arguments in runs:
        row = in_a_process(train, code, *arguments)
        record(row)
        print("".join(f"{row[column]:<12}" for column in COLUMNS), flush=True)


if __name__ == "__main__":
    parser = make_parser(__doc__)
    preset_names = [path.stem for path in sorted((ROOT / "presets").glob("*.yaml"))]
    parser.add_argument("--target", type=float)
    parser.add_argument("--presets", nargs="*", choices=preset_names, default=["pets"])
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--network", choices=network_names(), default="resnet")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    run(main, parser)
