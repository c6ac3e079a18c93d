"""Where the time of a training step goes, beside what the processor's arithmetic and memory can do.

    python -m benchmarks.step_profile [--network resnet] [--width 64] [--batch 8] [--size 128] [--steps 5]

On a CPU, by torch's profiler, with random images: forward and backward pass and AdamW. For each kind of
operation: milliseconds a step; its arithmetic as a share of the rate of a large matrix product; and the bytes
that it moves at the least (its inputs and its output, once) as a share of the rate at which a large tensor is
copied. Where either share is near 100 %, nothing is left to be had.
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
from segmentation.models.build import build_model, network_names
from segmentation.params import Params, load_params
from segmentation.runtime.devices import autocast, choose_precision, prepare, to_device
from segmentation.training.optimizer import Optimization

FORWARD, BACKWARD = "convolution, forward", "convolution, backward"
KINDS = {
    FORWARD: ["mkldnn_convolution", "_slow_conv2d_forward", "thnn_conv2d"],
    BACKWARD: ["convolution_backward"],
    "batch norm": ["native_batch_norm", "native_batch_norm_backward"],
    "ReLU": ["clamp_min_", "clamp_min", "threshold_backward", "relu"],
    "sums of gradients, skips": ["add", "add_", "cat", "slice_backward"],
    "pooling": ["max_pool2d_with_indices", "max_pool2d_with_indices_backward"],
    "copies and casts": ["copy_", "fill_", "zero_"],
    "optimizer": ["_fused_adamw_"],
}
KIND_OF = {f"aten::{name}": kind for kind, names in KINDS.items() for name in names}


def copy_rate() -> float:
    """Return the bytes that a copy of a large tensor reads and writes in a second."""
    source = torch.zeros(2**26)
    target, best = torch.empty_like(source), float("inf")
    for _ in range(6):
        started = time.perf_counter()
        target.copy_(source)
        best = min(best, time.perf_counter() - started)
    return 2 * source.nbytes / best


def moved(kind: str, shapes: Iterable[Any], itemsize: int) -> int:
    """Return the bytes of all input tensors, and of an output as large as the largest of them."""
    sizes = [prod(shape) for shape in shapes if shape and all(isinstance(side, int) for side in shape)]
    if kind == BACKWARD:  # of gradient, images and weights: it writes the gradients of the latter two
        return itemsize * (sum(sizes[:3]) + sum(sizes[1:3]))
    return itemsize * (sum(sizes) + max(sizes, default=0))


def table(
    events: Iterable[Any], weights: int, itemsize: int, steps: int
) -> dict[str, tuple[float, float, float]]:
    """Return seconds, FLOP and bytes a step of each kind of operation."""
    seconds, flop, size = (defaultdict[str, float](float) for _ in range(3))
    for event in events:
        kind = KIND_OF.get(event.name, "other")
        seconds[kind] += event.self_cpu_time_total / 1e6 / steps
        size[kind] += moved(kind, event.input_shapes or (), itemsize) / steps if kind != "other" else 0
        flop[FORWARD] += (event.flops or 0) / steps if "conv" in event.name else 0
    flop[BACKWARD] = 2 * flop[FORWARD]  # the profiler counts forward alone
    size["optimizer"] = 4 * 7 * weights  # reads weights, gradients, two moments; writes all but the gradients
    return {kind: (taken, flop[kind], size[kind]) for kind, taken in seconds.items()}


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
    itemsize, weights = 2 if precision == "bf16" else 4, sum(each.numel() for each in model.parameters())
    kinds = table(found.events() or (), weights, itemsize, arguments.steps)
    rate, copying = matrix_rate(device, torch.bfloat16 if itemsize == 2 else torch.float32), copy_rate()
    total = sum(taken for taken, _, _ in kinds.values())
    print(
        f"{arguments.network}, width {arguments.width}, batch {arguments.batch},"
        f" {arguments.size}x{arguments.size}, {precision}, {torch.get_num_threads()} threads:"
        f" {1e3 * whole:.0f} ms a step; matrix product {rate / 1e12:.2f} TFLOP/s,"
        f" copy {copying / 1e9:.1f} GB/s"
    )
    print(f"{'':<26}      ms   share  of matmul   of copy")
    for kind, (taken, flop, size) in sorted(kinds.items(), key=lambda pair: -pair[1][0]):
        arithmetic = f"{flop / taken / rate:.0%}" if flop else "-"
        memory = f"{size / taken / copying:.0%}" if size else "-"
        print(f"{kind:<26} {1e3 * taken:>7.1f} {taken / total:>7.1%} {arithmetic:>10} {memory:>9}")


if __name__ == "__main__":
    main()
