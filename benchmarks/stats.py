"""Mean and standard deviation: the lab report's way against this project's, side by side.

    python -m benchmarks.stats FOLDER [--rounds 7]

FOLDER holds images in their original size, for instance data/raw/images. The lab report holds every
image in memory as float32, averages the means of the images, and takes the deviation around that.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

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


def seconds(work: Callable[[Sequence[Path]], object], paths: Sequence[Path]) -> float:
    """The wall time of one call."""
    start = time.perf_counter()
    work(paths)
    return time.perf_counter() - start


def main() -> None:
    """Print the table and the verdict."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    paths = sorted(arguments.folder.glob("*.jpg"))
    if not paths:
        parser.error(f"{arguments.folder} holds no *.jpg")
    ways: dict[str, Callable[[Sequence[Path]], object]] = {"lab report": lab_report, "here": compute_stats}
    for way in ways.values():
        way(paths)  # warms the file cache
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, way in ways.items():
            times[name].append(seconds(way, paths))
    print(f"{'':<10}  median    (range) of {arguments.rounds} rounds")
    for name, values in times.items():
        median, low, high = statistics.median(values), min(values), max(values)
        print(f"{name:<10} {median:7.3f} s  ({low:.3f} to {high:.3f}) for {len(paths)} images")
    ratio = statistics.median(times["lab report"]) / statistics.median(times["here"])
    stats, (mean, std) = compute_stats(paths), exact(paths)
    gap = max(np.abs(stats["mean"] - mean).max(), np.abs(stats["std"] - std).max())
    print(f"{ratio:.1f} times as fast (goal: 4): {'yes' if ratio >= 4 else 'NO'}")
    print(f"largest gap to numpy in float64: {gap:.1e} (goal: 1e-6): {'yes' if gap <= 1e-6 else 'NO'}")


if __name__ == "__main__":
    main()
