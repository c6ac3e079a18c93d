"""Time to a score: how long a recipe trains until the validation images reach a Dice.

    python -m benchmarks.time_to_dice --target 0.90 [--presets pets lab_report] [--plain lab_report]
                                      [--network resnet] [--width 32] [--size 128] [--seeds 0 1 2]

Trains on the images of data/split.json, so run `dvc repro compute_stats` first, with the `data` settings
that you mean. The score is the Dice pooled over all validation images, at the threshold that suits them best
on average. The time runs from the first look at the data until the validation that reaches the target, all
validations included, importing torch not. Learning rates follow the preset's whole schedule; a run that does
not reach the target ends with its last epoch. --plain trains by the lab report's plain loop instead of this
engine. Each run is a process of its own, and a row of docs/records.csv.
"""

import argparse
import csv
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from benchmarks.train_step import plain_step
from segmentation.common.artifacts import STATS, Stats
from segmentation.common.files import read_json
from segmentation.common.seeds import Purpose, torch_seed
from segmentation.common.signals import StopRequest
from segmentation.inference.predictor import Predictor
from segmentation.inference.runner import Runner
from segmentation.loading.transforms import choose_normalization
from segmentation.models.build import build_model, network_names
from segmentation.params import Params, load_params
from segmentation.runtime.devices import choose_device, choose_precision, describe, prepare, to_device
from segmentation.scoring.scores import dice
from segmentation.scoring.threshold import (
    BINS,
    DEFAULT_THRESHOLD,
    BinCounts,
    choose_threshold,
    counts_on_grid,
)
from segmentation.training.dataset_pass import score
from segmentation.training.loop import Training
from segmentation.training.losses import LOSSES
from segmentation.training.run import make_batches

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "docs/records.csv"


class Point(NamedTuple):
    """The validation after an epoch."""

    epoch: int
    dice_pooled: float


def pooled_dice(bins: BinCounts) -> float:
    """Return the Dice pooled over all images at the threshold that is best for their mean Dice."""
    place = round(choose_threshold(bins)[0] * BINS) - 1
    return float(dice(counts_on_grid(bins)[:, place].sum(axis=0)))


def by_engine(name: str, params: Params, device: torch.device, runner: Runner) -> Iterator[Point]:
    """Train by this project's engine."""
    train, val = make_batches(params, device)
    with closing(train), closing(val):
        model = build_model(name, params.model.width, params.model.dropout, params.model.init)
        training = Training(to_device(model, device), train, val, params.train, runner, StopRequest())
        while training.epoch <= training.epochs:
            training.train_epoch()
            epoch = training.validate()["epoch"]
            assert training.scored
            yield Point(epoch, pooled_dice(training.scored.bins))


def by_plain_loop(name: str, params: Params, device: torch.device, runner: Runner) -> Iterator[Point]:
    """Train as the lab report does: float32, one image decoded after the other, at each step anew."""
    uncached = params.model_copy(update={"machine": params.machine.model_copy(update={"cache_bytes": 0})})
    train, val = make_batches(uncached, device)
    model = build_model(name, params.model.width, params.model.dropout, params.model.init).to(device)
    step = plain_step(model, device)
    predictor = Predictor(model, runner, params.image.size, DEFAULT_THRESHOLD)
    for epoch in range(1, params.train.epochs + 1):
        model.train()
        keys = [(epoch, index) for index in torch.randperm(len(train.dataset)).tolist()]
        for images, masks, _ in tqdm(DataLoader(train.dataset, params.train.batch_size, sampler=keys)):
            step(images, masks)
        model.eval()
        yield Point(epoch, pooled_dice(score(predictor, val.epoch(), LOSSES[params.train.loss]).bins))


WAYS = {"engine": by_engine, "plain": by_plain_loop}


def run(way: str, preset: str, seed: int, arguments: argparse.Namespace) -> dict[str, str | int | float]:
    """Train until the target is reached; return the row of this run."""
    params = load_params(ROOT / f"presets/{preset}.yaml")
    params = params.model_copy(
        update={
            "image": params.image.model_copy(update={"size": arguments.size}),
            "model": params.model.model_copy(update={"width": arguments.width}),
            "train": params.train.model_copy(update={"seed": seed}),
        }
    )
    device = choose_device()
    prepare(device)
    precision = "float32" if way == "plain" else choose_precision(params.train.precision, device)
    normalization = choose_normalization(params.image.normalize, read_json(STATS, "compute_stats", Stats))
    torch.manual_seed(torch_seed(Purpose.WEIGHTS, seed))
    started, reached, minutes = time.perf_counter(), False, 0.0
    points = []
    for point in WAYS[way](arguments.network, params, device, Runner(device, precision, normalization)):
        minutes = (time.perf_counter() - started) / 60
        points.append(point)
        reached = point.dice_pooled >= arguments.target
        print(
            f"epoch {point.epoch}: {point.dice_pooled:.4f}, {minutes:.1f} minutes",
            file=sys.stderr,
            flush=True,
        )
        if reached:
            break
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "hardware": describe(device),
        "network": arguments.network,
        "width": arguments.width,
        "size": arguments.size,
        "recipe": preset,
        "way": way,
        "precision": precision,
        "seed": seed,
        "target": arguments.target,
        "reached": "yes" if reached else "no",
        "minutes": round(minutes, 2),
        "epochs": points[-1].epoch,
        "dice_pooled": round(points[-1].dice_pooled, 4),
    }


def commit() -> str:
    """Return the commit of this code; with a + if it was changed since."""
    command = ["git", "describe", "--always", "--exclude=*", "--abbrev=7", "--dirty=+"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "?"


def record(row: dict[str, str | int | float]) -> None:
    """Add a row to docs/records.csv."""
    new = not RECORDS.exists()
    with RECORDS.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def main() -> None:
    """Take the runs one after the other, and print a line for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    presets = [path.stem for path in sorted((ROOT / "presets").glob("*.yaml"))]
    parser.add_argument("--target", type=float, required=True)
    parser.add_argument("--presets", nargs="*", choices=presets, default=["pets"])
    parser.add_argument("--plain", nargs="*", choices=presets, default=[])
    parser.add_argument("--network", choices=network_names(), default="resnet")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        way, preset, seed = arguments.run
        print(json.dumps(run(way, preset, int(seed), arguments)))
        return
    print("recipe      way     seed  reached  minutes  epochs  pooled Dice")
    for seed in arguments.seeds:
        for way, preset in [
            *(("engine", each) for each in arguments.presets),
            *(("plain", each) for each in arguments.plain),
        ]:
            row = in_a_process(way, preset, seed, arguments)
            record(row)
            print(
                f"{preset:<11} {way:<7} {seed:>4}  {row['reached']:<7} {row['minutes']:>8} {row['epochs']:>7}"
                f"  {row['dice_pooled']:.4f}",
                flush=True,
            )
    print(
        f"{row['hardware']}; commit {row['commit']}; {arguments.network} of width {arguments.width},"
        f" {arguments.size}x{arguments.size}, target {arguments.target}"
    )


def in_a_process(
    way: str, preset: str, seed: int, arguments: argparse.Namespace
) -> dict[str, str | int | float]:
    """Take one run in a process of its own."""
    given = [f"--{key}={getattr(arguments, key)}" for key in ("target", "network", "width", "size")]
    command = [sys.executable, "-m", "benchmarks.time_to_dice", *given, "--run", way, preset, str(seed)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


if __name__ == "__main__":
    main()
