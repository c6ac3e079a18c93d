"""Prediction: torch in float32 and bfloat16, and onnxruntime, side by side.

    python -m benchmarks.inference [--model unet] [--images 100] [--rounds 5]

Run `dvc repro` first: it takes the checkpoints and the test images of this project. Timed is the way from an
image of 500x375 in memory to its probabilities at that size, alone and in a batch of 8; the ways take turns.
Dice is that of the images in their own sizes.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import PIL.Image
import torch

from segmentation.common.artifacts import RAW, SPLIT, Split, checkpoint_path
from segmentation.common.files import read_json
from segmentation.export.check import mean_dice, read_samples, with_precision
from segmentation.export.graph import ImagesToProbabilities, to_onnx
from segmentation.geometry import Image
from segmentation.inference.predictor import Predictor
from segmentation.models.build import network_names
from segmentation.models.checkpoints import load_checkpoint
from segmentation.prediction.load import AnyPredictor
from segmentation.prediction.onnx_predictor import OnnxPredictor

BATCHES = 1, 8
SIZE = 500, 375  # width and height at which images are timed


class Way(NamedTuple):
    """A way to predict, and the size of its file in bytes."""

    name: str
    predictor: AnyPredictor
    size: int


def ways(model: str) -> list[Way]:
    """Return all ways to predict with the network `model`."""
    path = checkpoint_path(model)
    checkpoint = load_checkpoint(path)
    torch_predictor = Predictor.load(path)
    content = to_onnx(ImagesToProbabilities(checkpoint), {"threshold": repr(checkpoint.meta.threshold)})
    size = path.stat().st_size
    return [
        *(Way(f"torch {each}", with_precision(torch_predictor, each), size) for each in ("float32", "bf16")),
        Way("onnxruntime", OnnxPredictor.of_bytes(content, "export"), len(content)),
    ]


def milliseconds(predictor: AnyPredictor, images: Sequence[Image], batch: int) -> list[float]:
    """Return the time of each batch, per image."""
    times = []
    for start in range(0, len(images) - batch + 1, batch):
        began = time.perf_counter()
        predictor.probabilities(images[start : start + batch])
        times.append(1000 * (time.perf_counter() - began) / batch)
    return times


def main() -> None:
    """Print a table for each network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=network_names())
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    ids = read_json(SPLIT, "split", Split)["test"][: arguments.images]
    for model in [arguments.model] if arguments.model else network_names():
        compare(model, ids, arguments.rounds)


def compare(model: str, ids: Sequence[str], rounds: int) -> None:
    """Print the table of a network."""
    meta, found = load_checkpoint(checkpoint_path(model)).meta, ways(model)
    samples = read_samples(RAW, ids, meta.foreground)
    images = [np.asarray(PIL.Image.fromarray(image).resize(SIZE)) for image, _ in samples]
    times: dict[tuple[str, int], list[float]] = {(way.name, batch): [] for way in found for batch in BATCHES}
    for way in found:
        way.predictor.probabilities(images[:8])  # warms up
    for _ in range(rounds):
        for batch in BATCHES:
            for way in found:
                times[way.name, batch] += milliseconds(way.predictor, images, batch)
    threads = torch.get_num_threads()
    print(f"{model}, width {meta.width}, {meta.size} px, {len(samples)} images, {threads} threads")
    print(
        f"{'':<15}{'MB':>6}{'Dice':>9}"
        + "".join(f"{f'batch {each}: median':>18}{'p95 ms':>8}" for each in BATCHES)
    )
    for way in found:
        row = f"{way.name:<15}{way.size / 1e6:>6.1f}{mean_dice(way.predictor, samples):>9.4f}"
        for batch in BATCHES:
            values = times[way.name, batch]
            row += f"{statistics.median(values):>18.2f}{np.percentile(values, 95):>8.2f}"
        print(row)


if __name__ == "__main__":
    main()
