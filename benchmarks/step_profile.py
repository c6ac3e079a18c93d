"""Where the time of a training step goes, beside what the processor's arithmetic and memory can do.

    python -m benchmarks.step_profile [--network resnet] [--width 64] [--batch 8] [--size 128] [--steps 5]

On a CPU, by torch's profiler, with random images: forward and backward pass and AdamW. For each kind of
operation: milliseconds a step; its arithmetic as a share of the rate of a large matrix product; and the bytes
that it reads and writes at the least as a share of the rate at which a large tensor is changed in place.
Where a share is near 100 %, little is left to be had.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Iterable
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

from benchmarks.device import matrix_rate
from benchmarks.train_step import training_flop
from segmentation.models.build import build_model, network_names
from segmentation.params import Params, load_params
from segmentation.runtime.devices import autocast, choose_precision, prepare, to_device
from segmentation.training.optimizer import Optimization

FORWARD, BACKWARD = "convolution, forward", "convolution, backward"
# The kinds of operation, and of each of torch's how often it reads or writes as many values as its largest
# input has; 0: not counted here.
KINDS: dict[str, dict[str, float]] = {
    FORWARD: {"mkldnn_convolution": 0, "_convolution": 0},  # the latter are the transposed ones
    BACKWARD: {"convolution_backward": 0},
    "batch norm": {"native_batch_norm": 2, "native_batch_norm_backward": 3},
    "ReLU": {"clamp_min_": 2, "threshold_backward": 3},
    "sums": {"add": 3, "add_": 3},
    "concatenation": {"cat": 0},
    "max pooling": {"max_pool2d_with_indices": 1, "max_pool2d_with_indices_backward": 0},
    "copies": {"copy_": 2, "fill_": 1, "zero_": 0},
    "AdamW": {"_fused_adamw_": 0},
}
KIND_OF = {f"aten::{name}": (kind, times) for kind, names in KINDS.items() for name, times in names.items()}


def memory_rate() -> float:
    """Return the bytes that changing a large tensor in place reads and writes in a second."""
    values, best = torch.ones(2**26), float("inf")
    for _ in range(6):
        started = time.perf_counter()
        values.mul_(1.0)
        best = min(best, time.perf_counter() - started)
    return 2 * values.nbytes / best


def table(events: Iterable[Any], itemsize: int, steps: int) -> dict[str, tuple[float, float]]:
    """Return the seconds and the bytes of each kind of operation in a step."""
    seconds, size = (defaultdict[str, float](float) for _ in range(2))
    for event in events:
        kind, times = KIND_OF.get(event.name, ("other", 0))
        shapes = [shape for shape in event.input_shapes or () if shape]
        largest = max((prod(shape) for shape in shapes if isinstance(shape[0], int)), default=0)
        seconds[kind] += event.self_cpu_time_total / 1e6 / steps
        size[kind] += times * largest * itemsize / steps
    return {kind: (taken, size[kind]) for kind, taken in seconds.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", choices=network_names(), default="resnet")
    for name, value in (("width", 64), ("batch", 8), ("size", 128), ("steps", 5)):
        parser.add_argument(f"--{name}", type=int, default=value)
    arguments = parser.parse_args()
    device = torch.device("cpu")
    prepare(device)
    params: Params = load_params()
    precision = choose_precision("auto", device)
    model = to_device(build_model(arguments.network, arguments.width), device)
    optimization = Optimization(model, params.train.model_copy(update={"optimizer": "adamw"}), 10**6)
    shape = arguments.batch, 3, arguments.size, arguments.size
    images = torch.rand(shape).contiguous(memory_format=torch.channels_last)
    targets = (torch.rand(arguments.batch, 1, *shape[2:]) > 0.5).float()

    def step() -> None:
        with autocast(device, precision):
            logits = model(images).float()
        F.binary_cross_entropy_with_logits(logits, targets).backward()
        optimization.step()

    for _ in range(2):
        step()
    started = time.perf_counter()
    for _ in range(arguments.steps):
        step()
    whole = (time.perf_counter() - started) / arguments.steps
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True, with_flops=True) as found:
        for _ in range(arguments.steps):
            step()
    itemsize = 2 if precision == "bf16" else 4
    kinds = table(found.events() or (), itemsize, arguments.steps)
    weights = sum(each.numel() for each in model.parameters())
    taken, _ = kinds["AdamW"]
    kinds["AdamW"] = taken, 4 * 7 * weights  # reads weights, gradients, two moments; writes all but gradients
    step_flop = arguments.batch * training_flop(arguments.network, arguments.width, arguments.size)
    flop = {FORWARD: step_flop / 3, BACKWARD: 2 * step_flop / 3}
    rate, memory = matrix_rate(device, torch.bfloat16 if itemsize == 2 else torch.float32), memory_rate()
    total = sum(taken for taken, _ in kinds.values())
    print(
        f"{arguments.network}, width {arguments.width}, batch {arguments.batch},"
        f" {arguments.size}x{arguments.size}, {precision}, {torch.get_num_threads()} threads:"
        f" {1e3 * whole:.0f} ms a step; matrix product {rate / 1e12:.2f} TFLOP/s,"
        f" memory {memory / 1e9:.1f} GB/s"
    )
    print(f"{'':<26}      ms   share  of matmul  of memory")
    for kind, (taken, size) in sorted(kinds.items(), key=lambda pair: -pair[1][0]):
        arithmetic = f"{flop[kind] / taken / rate:.0%}" if kind in flop else "-"
        moved = f"{size / taken / memory:.0%}" if size else "-"
        print(f"{kind:<26} {1e3 * taken:>7.1f} {taken / total:>7.1%} {arithmetic:>10} {moved:>10}")


if __name__ == "__main__":
    main()
