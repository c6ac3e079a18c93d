"""Training speed: the lab report's plain loop against this engine, end to end, side by side.

    python -m benchmarks.train_step [--raw data/raw] [--size 128] [--width 64] [--batch 8]
                                    [--images 64] [--rounds 3] [--networks unet resnet] [--precision auto]

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

import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from math import ceil
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.runner import in_a_process, in_turn, median_and_range, print_table, print_verdict, seconds
from segmentation.common.command_line import make_parser, run
from segmentation.common.dataset_layout import LIST, TRAINVAL, has_lists, read_list
from segmentation.common.errors import InputError
from segmentation.common.geometry import Geometry
from segmentation.common.signals import StopRequest
from segmentation.inference.predictor import Runner
from segmentation.loading.cache import ImageCache
from segmentation.loading.dataset import SegmentationDataset
from segmentation.loading.transforms import LAB_REPORT
from segmentation.models.build import build_model, network_names
from segmentation.params import load_params
from segmentation.runtime.devices import choose_device, choose_precision, prepare, to_device
from segmentation.runtime.memory import peak_memory
from segmentation.scoring.scores import soft_dice
from segmentation.training.augmentation import Augmentation
from segmentation.training.crops import TrainingCrops
from segmentation.training.loader import Batches, loader_workers
from segmentation.training.loop import Training
from segmentation.training.losses import LOSSES
from segmentation.training.outputs import Outputs
from segmentation.training.resume import ResumeState
from segmentation.training.run import SAVE_INTERVAL, save

ROOT = Path(__file__).parents[1]
GOALS = {  # of the engine's speed, in plain loops; on CPUs in bf16: those with AMX
    ("cpu", "float32", "unet"): 2.5,
    ("cpu", "float32", "resnet"): 2.2,
    ("cpu", "bf16", "unet"): 4.3,
    ("cpu", "bf16", "resnet"): 4.0,
    ("cuda", "bf16", "unet"): 4.0,
    ("cuda", "bf16", "resnet"): 4.0,
}

Step = Callable[[torch.Tensor, torch.Tensor], None]  # of images (N, 3, H, W) of 0 to 255, and their masks


def plain_step(model: nn.Module, device: torch.device) -> Step:
    """Return a step of training as the lab report takes it."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, weight_decay=2e-4)
    mean, std = (torch.tensor(channels).view(3, 1, 1) for channels in LAB_REPORT)
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


def plain_loop(name: str, data: TrainingCrops, width: int, batch: int, precision: str) -> dict[str, float]:
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


def engine(name: str, data: TrainingCrops, width: int, batch: int, precision: str) -> dict[str, float]:
    """Train with this project's engine, likewise, and the share of its tail."""
    params, device = load_params(ROOT / "params.yaml"), choose_device()
    prepare(device)
    runner = Runner(device, precision, LAB_REPORT)
    workers = loader_workers(device, batch + 1, data.geometry.size)
    data.images.cache = ImageCache(data.images.shapes)
    val = SegmentationDataset(data.images.raw, data.images.ids[:1], data.geometry, data.images.foreground)
    changes = {"epochs": 3, "min_steps": 0, "lr": 1e-4, "batch_size": batch, "optimizer": "adamw"}
    settings = params.train.model_copy(update=changes)
    model = to_device(build_model(name, width), device)
    train = Batches(data, batch, shuffle_seed=0, workers=workers)
    training = Training(model, train, Batches(val, 1), settings, runner, StopRequest())
    throughputs, output_seconds = [], []
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        outputs = Outputs(name, params, val, None)
        for _ in range(settings.epochs):
            training.train_epoch()
            metrics = training.validate()
            output_seconds.append(seconds(outputs.add, metrics, training))
            throughputs.append(training.throughput)
        save_cost = seconds(save, training, outputs, ResumeState(name, {}, Path(folder)))
    speed, waiting = (statistics.mean(values) for values in zip(*throughputs[1:], strict=True))
    epoch, add = len(data) / speed, statistics.mean(output_seconds[1:])
    tail = add + save_cost / max(1, ceil(SAVE_INTERVAL * save_cost / (epoch + add)))
    return {"speed": speed, "waiting": waiting, "tail": tail / (epoch + tail)}


SIDES = {"plain": plain_loop, "engine": engine}


def measure(
    side: str, name: str, raw: Path, size: int, width: int, batch: int, images: int, precision: str
) -> dict[str, float]:
    """Return what one side does in this process; `share` is its FLOP/s beside the highest rate here."""
    ids = read_list(raw / (TRAINVAL if has_lists(raw) else LIST))[:images]
    geometry = Geometry(size)
    changes = Augmentation(load_params(ROOT / "presets/lab_report.yaml").augment, geometry)
    data = TrainingCrops(SegmentationDataset(raw.resolve(), ids, geometry, ["pet", "border"]), changes)
    result = SIDES[side](name, data, width, batch, precision)
    device = choose_device()
    peak = peak_memory(device)  # before the matrices below
    rate = highest_rate(device, torch.bfloat16 if (side, precision) == ("engine", "bf16") else torch.float32)
    share = result["speed"] * training_flop(name, width, size) / rate
    return result | {"share": share, "rate": rate, "peak": peak}


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def highest_rate(device: torch.device, dtype: torch.dtype, duration: float = 2.0) -> float:
    """Return the FLOP/s of the fastest of some products of large matrices and of some convolutions.

    Both, because on some processors the library of one is twice as fast as that of the other; for two
    seconds each, because processors take some time to reach their rate.
    """
    side, batch = (8192, 64) if device.type == "cuda" else (3072, 8)
    channels, pixels = 512, 16
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    images = torch.randn(batch, channels, pixels, pixels, device=device).to(dtype)
    images = images.contiguous(memory_format=torch.channels_last)
    layer = nn.Conv2d(channels, channels, 3, padding=1, bias=False).to(device, dtype)
    work: dict[int, Callable[[], object]] = {
        2 * side**3: lambda: a @ b,
        2 * batch * pixels**2 * layer.weight.numel(): lambda: layer(images),
    }
    rates = []
    for flop, compute in work.items():
        end, times = time.perf_counter() + duration, []
        while time.perf_counter() < end:
            started = time.perf_counter()
            compute()
            synchronize(device)
            times.append(time.perf_counter() - started)
        rates.append(flop / min(times))
    return max(rates)


def training_flop(name: str, width: int, size: int) -> int:
    """Return the floating-point operations of a training step, for each image."""
    model, batch = build_model(name, width), 2
    with FlopCounterMode(display=False) as counter:
        model(torch.rand(batch, 3, size, size)).sum().backward()
    return counter.get_total_flops() // batch


def row(side: str, name: str, results: list[dict[str, float]]) -> dict[str, str]:
    """Return a row of the table: medians, and the range of the speed."""
    middle = {key: statistics.median(result[key] for result in results) for key in results[0]}
    return {
        "network": name,
        "side": side,
        "images/s (range)": median_and_range([result["speed"] for result in results], 2),
        "waiting": f"{middle['waiting']:.1%}",
        "tail": f"{middle['tail']:.1%}",
        "of highest": f"{middle['share']:.1%}",
        "TFLOP/s": f"{middle['rate'] / 1e12:.2f}",
        "peak GiB": f"{middle['peak'] / 2**30:.2f}",
    }


def main(
    raw: Path,
    size: int,
    width: int,
    batch: int,
    images: int,
    rounds: int,
    networks: list[str],
    precision: str,
) -> None:
    """Print a table and a verdict for each network."""
    if not (raw / LIST).is_file():
        raise InputError(f"{raw} holds no dataset; run `dvc repro download` first")
    device = choose_device().type
    precision = choose_precision(precision, choose_device())
    print(
        f"{size}x{size}, width {width}, batch {batch}, {device}, engine in {precision},"
        f" {images} images an epoch, median of {rounds} rounds"
    )
    for name in networks:
        given = name, raw, size, width, batch, images, precision
        results = in_turn({side: partial(in_a_process, measure, side, *given) for side in SIDES}, rounds)
        print_table([row(side, name, results[side]) for side in SIDES])
        plain, here = (statistics.median(result["speed"] for result in results[side]) for side in SIDES)
        goal = GOALS.get((device, precision, name), 1.0)
        print_verdict(f"{name:<7} {here / plain:.2f} times (goal: {goal})", here / plain >= goal)


if __name__ == "__main__":
    parser = make_parser(__doc__)
    parser.add_argument("--raw", type=Path, default=ROOT / "data/raw")
    for option, default in {"size": 128, "width": 64, "batch": 8, "images": 64, "rounds": 3}.items():
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--networks", nargs="+", choices=network_names(), default=network_names())
    parser.add_argument("--precision", choices=["auto", "float32", "bf16"], default="auto")
    run(main, parser)
