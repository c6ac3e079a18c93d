"""Mean and standard deviation: the lab report's way against this project's, side by side.

    python -m benchmarks.stats FOLDER [--rounds 7]

FOLDER holds images in their original size, for instance data/raw/images. The lab report holds every
image in memory as float32, averages the means of the images, and takes the deviation around that.
"""

import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.runner import in_turn, median_and_range, print_table, print_verdict, seconds
from segmentation.common.command_line import make_parser, run
from segmentation.common.errors import InputError
from segmentation.pixel_stats import compute_stats


def lab_report(paths: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the images' means, and the pixel-weighted deviation around it, `(3,)` each."""
    images = [np.asarray(Image.open(path).convert("RGB")).astype(np.float32) / 255 for path in paths]
    mean = np.mean([image.mean(axis=(0, 1)) for image in images], axis=0)
    squares = np.sum([((image - mean) ** 2).sum(axis=(0, 1)) for image in images], axis=0)
    return mean, np.sqrt(squares / sum(image.shape[0] * image.shape[1] for image in images))


def exact(paths: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Pixel-weighted mean and deviation by numpy in float64, `(3,)` each."""
    pixels = np.concatenate([np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3) for path in paths])
    return (pixels / 255).mean(axis=0), (pixels / 255).std(axis=0)


def main(folder: Path, rounds: int) -> None:
    """Print the table and the verdicts."""
    paths = sorted(folder.glob("*.jpg"))
    if not paths:
        raise InputError(f"{folder} holds no *.jpg")
    sides = {
        "lab report": partial(seconds, lab_report, paths),
        "here": partial(seconds, compute_stats, paths),
    }
    times = in_turn(sides, rounds, warm_up=True)
    print(f"{len(paths)} images, median and range of {rounds} rounds")
    print_table([{"side": side, "seconds": median_and_range(times[side], 3)} for side in sides])
    ratio = statistics.median(times["lab report"]) / statistics.median(times["here"])
    stats, (mean, std) = compute_stats(paths), exact(paths)
    gap = max(np.abs(stats["mean"] - mean).max(), np.abs(stats["std"] - std).max())
    print_verdict(f"{ratio:.1f} times as fast (goal: 4)", ratio >= 4)
    print_verdict(f"largest gap to numpy in float64: {gap:.1e} (goal: 1e-6)", gap <= 1e-6)


if __name__ == "__main__":
    parser = make_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    run(main, parser)
