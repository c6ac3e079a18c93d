"""Training speed: the lab report's plain loop against this engine, end to end, side by side.

    python -m benchmarks.train_step [--raw data/raw] [--size 128] [--width 64] [--batch 8]
                                    [--images 64] [--rounds 3] [--networks unet resnet]

Both train with the lab report's augmentation on the first images of the dataset in --raw, the plain loop
with Adam, the engine with AdamW, which cost the same: what is compared is the loops, not the optimizers.
The plain loop is in float32 (TF32 on GPUs, as torch has it) and NCHW, decodes in the main process, and asks
for loss and Dice (`.item()`) at each step. The engine is `training.loop`, from its second epoch on: the
first one fills the cache. They take turns, each time in a process of their own, so that neither profits
from the other's memory.

The tail of the engine is what follows each validation: keeping the best weights, TensorBoard, and the writing
of checkpoint and state, of which an epoch bears its part. The column says which share of an epoch it would
take in a long training; the speed does not count it.
"""

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from math import ceil
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.device import matrix_rate, synchronize
from benchmarks.process import in_a_process
from segmentation.common.dataset_layout import LIST, TRAINVAL, has_lists, read_list
from segmentation.common.signals import StopRequest
from segmentation.geometry import Geometry
from segmentation.inference.runner import Runner
from segmentation.loading.cache import ImageCache
from segmentation.loading.dataset import SegmentationDataset
from segmentation.loading.transforms import LAB_REPORT
from segmentation.models.build import build_model, network_names
from segmentation.params import Params, load_params
from segmentation.runtime.devices import choose_device, choose_precision, prepare, to_device
from segmentation.runtime.memory import peak_memory
from segmentation.scoring.scores import soft_dice
from segmentation.training.augmentation import Augmentation
from segmentation.training.loader import Batches, loader_workers
from segmentation.training.loop import Training
from segmentation.training.losses import LOSSES
from segmentation.training.outputs import Outputs
from segmentation.training.resume import ResumeState
from segmentation.training.run import SAVE_INTERVAL, Saver

ROOT = Path(__file__).parents[1]
GOALS = {("cpu", "unet"): 2.5, ("cpu", "resnet"): 1.8, ("cuda", "unet"): 4.0, ("cuda", "resnet"): 4.0}


Step = Callable[[torch.Tensor, torch.Tensor], None]  # of images (N, 3, H, W) of 0 to 255, and their masks


def plain_step(model: nn.Module, device: torch.device) -> Step:
    """Return a step of training as the lab report takes it."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, weight_decay=2e-4)
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in LAB_REPORT)
    lab_report = LOSSES["double_sigmoid"]

    def step(images: torch.Tensor, masks: torch.Tensor) -> None:
        images, targets = ((images.float() / 255 - mean) / std).to(device), masks.float().to(device)
        logits = model(images)
        loss = lab_report(logits, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
        probabilities = torch.sigmoid(logits)
        soft_dice((probabilities * targets).sum(), probabilities.sum(), targets.sum()).item()

    return step


def plain_loop(name: str, data: SegmentationDataset, width: int, batch: int) -> dict[str, float]:
    """Train as the lab report does: images a second, and the share of time spent waiting for images."""
    device = choose_device()
    step = plain_step(build_model(name, width).to(device), device)
    loader = DataLoader(data, batch, sampler=[(1, index) for index in range(len(data))])
    images, masks, _ = next(iter(loader))
    step(images, masks)  # warms up
    started = requested = time.perf_counter()
    waited = 0.0
    for images, masks, _ in loader:
        waited += time.perf_counter() - requested
        step(images, masks)
        requested = time.perf_counter()
    synchronize(device)
    taken = time.perf_counter() - started
    return {"speed": len(data) / taken, "waiting": waited / taken, "tail": 0.0}


def engine(name: str, data: SegmentationDataset, width: int, batch: int, params: Params) -> dict[str, float]:
    """Train with this project's engine, likewise, and the share of its tail."""
    device = choose_device()
    prepare(device)
    runner = Runner(device, choose_precision("auto", device), LAB_REPORT)
    workers = loader_workers(device, batch + 1, data.size)
    data.cache = ImageCache(len(data), data.size)
    val = SegmentationDataset(data.raw, data.ids[:1], data.geometry, data.foreground)
    changes = {"epochs": 3, "min_steps": 0, "lr": 1e-4, "batch_size": batch, "optimizer": "adamw"}
    settings = params.train.model_copy(update=changes)
    model = to_device(build_model(name, width), device)
    train = Batches(data, batch, shuffle_seed=0, workers=workers)
    training, warm, shown = Training(model, train, Batches(val, 1), settings, runner, StopRequest()), [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
        contextlib.redirect_stdout(sys.stderr),
    ):
        outputs = Outputs(name, params, train, val, None)
        saver = Saver(training, outputs, ResumeState(name, {}, Path(folder)))
        for _ in range(settings.epochs):
            training.train_epoch()
            metrics = training.validate()
            started = time.perf_counter()
            outputs.add(metrics, training)
            shown.append(time.perf_counter() - started)
            warm.append(training.throughput)
        saver.save()
    speed, waiting = (statistics.mean(values) for values in zip(*warm[1:], strict=True))
    epoch, add = len(data) / speed, statistics.mean(shown[1:])
    tail = add + saver.cost / max(1, ceil(SAVE_INTERVAL * saver.cost / (epoch + add)))
    return {"speed": speed, "waiting": waiting, "tail": tail / (epoch + tail)}


def measure(way: str, name: str, arguments: argparse.Namespace) -> dict[str, float]:
    """What one way gives in this process: speed, waiting, FLOP/s as a share of a matrix product's, …"""
    params, device = load_params(ROOT / "params.yaml"), choose_device()
    ids = read_list(arguments.raw / (TRAINVAL if has_lists(arguments.raw) else LIST))[: arguments.images]
    changes = Augmentation(load_params(ROOT / "presets/lab_report.yaml").augment)
    data = SegmentationDataset(
        arguments.raw.resolve(), ids, Geometry(arguments.size), ["pet", "border"], changes
    )
    if way == "plain":
        found = plain_loop(name, data, arguments.width, arguments.batch)
    else:
        found = engine(name, data, arguments.width, arguments.batch, params)
    peak = peak_memory(device)  # before the matrices below
    precision = "float32" if way == "plain" else choose_precision("auto", device)
    rate = matrix_rate(device, torch.bfloat16 if precision == "bf16" else torch.float32)
    share = found["speed"] * training_flop(name, arguments.width, arguments.size) / rate
    return found | {"share": share, "rate": rate, "peak": peak}


def training_flop(name: str, width: int, size: int) -> int:
    """Floating-point operations of a training step, for each image."""
    model, batch = build_model(name, width), 2
    with FlopCounterMode(display=False) as counter:
        model(torch.rand(batch, 3, size, size)).sum().backward()
    return counter.get_total_flops() // batch


def measured(way: str, name: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Measure one way in a process of its own."""
    given = [f"--{key}={getattr(arguments, key)}" for key in ("raw", "size", "width", "batch", "images")]
    return in_a_process("benchmarks.train_step", *given, "--measure", way, name)


def rows(way: str, name: str, results: list[dict[str, float]]) -> str:
    """A line of the table: medians, and the range of the speed."""
    speeds = [each["speed"] for each in results]
    middle: Callable[[str], float] = lambda key: statistics.median(each[key] for each in results)  # noqa: E731
    return (
        f"{name:<7} {way:<7} {middle('speed'):8.2f}  {f'{min(speeds):.2f} to {max(speeds):.2f}':<16}"
        f" {middle('waiting'):7.1%} {middle('tail'):6.1%} {middle('share'):8.1%}"
        f" {middle('rate') / 1e12:8.2f}"
        f" {middle('peak') / 2**30:9.2f}"
    )


def main() -> None:
    """Print the table and the verdicts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--raw", type=Path, default=ROOT / "data/raw")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--networks", nargs="+", choices=network_names(), default=network_names())
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not (arguments.raw / LIST).is_file():
        parser.error(f"{arguments.raw} holds no dataset; run `dvc repro download` first")
    if arguments.measure:
        way, name = arguments.measure
        with contextlib.redirect_stdout(sys.stderr):  # what else is printed is not the result
            result = measure(way, name, arguments)
        print(json.dumps(result))
        return
    device = choose_device().type
    print(
        f"{arguments.size}x{arguments.size}, width {arguments.width}, batch {arguments.batch}, {device},"
        f" {arguments.images} images an epoch, median of {arguments.rounds} rounds"
    )
    print(
        "network way       images/s (range)        waiting   tail of matmul  TFLOP/s  peak GiB",
    )
    for name in arguments.networks:
        results: dict[str, list[dict[str, float]]] = {"plain": [], "engine": []}
        for _ in range(arguments.rounds):
            for way, found in results.items():
                found.append(measured(way, name, arguments))
        for way, found in results.items():
            print(rows(way, name, found), flush=True)
        plain, here = (statistics.median(each["speed"] for each in found) for found in results.values())
        goal = GOALS.get((device, name), 1.0)
        print(f"{name:<7} {here / plain:.2f} times (goal: {goal}): {'yes' if here / plain >= goal else 'NO'}")


if __name__ == "__main__":
    main()
