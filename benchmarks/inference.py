"""Prediction: torch in float32 and bfloat16, and onnxruntime, side by side.

    python -m benchmarks.inference [--model unet] [--images 100] [--rounds 5] [--megapixels 24]

Run `dvc repro` first: it takes the checkpoints and the test images of this project. Timed is the way from an
image of 500x375 in memory to its probabilities at that size, alone and in a batch of 8; the sides take turns.
Dice is that of the images in their own sizes. With --megapixels, also the time of a window that slides over a
photo of that size (image.fit=tiles), beside that of the network alone.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import PIL.Image
import torch

from benchmarks.runner import in_turn, print_table, seconds
from segmentation.common.artifacts import RAW, SPLIT, Split, checkpoint_path
from segmentation.common.command_line import make_parser, run
from segmentation.common.files import read_json
from segmentation.common.geometry import Image, Mask
from segmentation.evaluation.prediction_scores import count_pixels, read_test_image
from segmentation.export.check import with_precision
from segmentation.export.graph import ImagesToProbabilities, to_onnx
from segmentation.inference.predictor import Predictor
from segmentation.inference.windows import window_count
from segmentation.models.build import network_names
from segmentation.models.checkpoints import load_checkpoint
from segmentation.prediction.load import AnyPredictor
from segmentation.prediction.onnx_predictor import OnnxPredictor
from segmentation.scoring.scores import dice
from segmentation.scoring.threshold import is_foreground

BATCHES = 1, 8
SIZE = 500, 375  # width and height at which images are timed


def milliseconds(predictor: AnyPredictor, images: Sequence[Image], batch: int) -> list[float]:
    """Return the time of each batch, per image."""
    starts = range(0, len(images) - batch + 1, batch)
    return [
        1000 * seconds(predictor.probabilities, images[start : start + batch]) / batch for start in starts
    ]


def mean_dice(predictor: AnyPredictor, samples: Sequence[tuple[Image, Mask]]) -> float:
    """Return the mean Dice over images, with their masks, in their own sizes."""
    scores = []
    for image, target in samples:
        (probabilities,) = predictor.probabilities([image])
        mask = is_foreground(probabilities, predictor.threshold)
        scores.append(float(dice(count_pixels(mask, target.view(np.bool_)))))
    return float(np.mean(scores))


def compare(model: str, ids: Sequence[str], rounds: int) -> None:
    """Print the table of a network."""
    path = checkpoint_path(model)
    checkpoint, predictor = load_checkpoint(path), Predictor.load(path)
    meta = checkpoint.meta
    exported = to_onnx(ImagesToProbabilities(checkpoint), {"threshold": repr(meta.threshold)})
    predictors: dict[str, AnyPredictor] = {
        "torch float32": with_precision(predictor, "float32"),
        "torch bf16": with_precision(predictor, "bf16"),
        "onnxruntime": OnnxPredictor.of_bytes(exported, "export"),
    }
    samples = [read_test_image(RAW, image_id, meta.foreground)[:2] for image_id in ids]
    images = [np.asarray(PIL.Image.fromarray(image).resize(SIZE)) for image, _ in samples]
    for side in predictors.values():
        side.probabilities(images[:8])  # warms up
    sides = {
        (name, batch): partial(milliseconds, side, images, batch)
        for batch in BATCHES
        for name, side in predictors.items()
    }
    times = {side: np.concatenate(rounds) for side, rounds in in_turn(sides, rounds).items()}
    threads = torch.get_num_threads()
    print(f"{model}, width {meta.width}, {meta.size} px, {len(samples)} images, {threads} threads")
    rows = []
    for name, side in predictors.items():
        megabytes = (len(exported) if name == "onnxruntime" else path.stat().st_size) / 1e6
        row = {"side": name, "MB": f"{megabytes:.1f}", "Dice": f"{mean_dice(side, samples):.4f}"}
        for batch in BATCHES:
            row[f"batch {batch}: median ms"] = f"{statistics.median(times[name, batch]):.2f}"
            row[f"batch {batch}: p95"] = f"{np.percentile(times[name, batch], 95):.2f}"
        rows.append(row)
    print_table(rows)


def compare_windows(model: str, megapixels: float, rounds: int) -> None:
    """Print the time that a window takes, in batches of 8: of the network alone, and over a whole photo."""
    predictor = Predictor.load(checkpoint_path(model))
    sliding = replace(predictor, geometry=predictor.geometry._replace(fit="tiles"))
    size, height = predictor.geometry.size, round((megapixels * 1e6 / 1.5) ** 0.5)
    width = round(1.5 * height)
    photo = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    windows = torch.randint(256, (8, 3, size, size), dtype=torch.uint8)
    count = window_count(height, width, size)
    sides: dict[str, Callable[[], float]] = {
        "network": lambda: statistics.median(seconds(predictor.logits, windows) for _ in range(30)) / 8,
        "photo": lambda: seconds(sliding.probabilities, [photo]) / count,
    }
    times = {side: statistics.median(results) for side, results in in_turn(sides, rounds, True).items()}
    share = times["network"] / times["photo"]
    print(f"{model}, {count} windows of {size} over {width}x{height} pixels", end=": ")
    print(f"{1000 * times['photo']:.2f} ms each, {share:.2f} of the network's rate")


def main(model: str | None, images: int, rounds: int, megapixels: float | None) -> None:
    """Print a table for each network."""
    ids = read_json(SPLIT, "split", Split)["test"][:images]
    for name in [model] if model else network_names():
        compare(name, ids, rounds)
        if megapixels:
            compare_windows(name, megapixels, rounds)


if __name__ == "__main__":
    parser = make_parser(__doc__)
    parser.add_argument("--model", choices=network_names())
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megapixels", type=float)
    run(main, parser)
