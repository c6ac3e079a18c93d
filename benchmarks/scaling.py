"""How the cost of training grows with the images, their size and the width of the network.

    python -m benchmarks.scaling [--images 250 1000 3312] [--size 64 128 256] [--width 16 32 64]
                                 [--steps 4] [--networks unet resnet] [--output docs/scaling]

One factor at a time, the others at the middle one of their values. Run `dvc repro split` first: the images
are the training images of data/split.json, repeated if they are too few. Each point is a process of its own,
with batches of 16 and the settings of presets/pets.yaml. It decodes all images into the cache, takes the
given number of steps twice, and times the second time; an epoch is as many steps as its images need, without
the validation: by the number of images, time is proportional by construction, and only memory is measured.
Each point is measured once. Writes the table to OUTPUT.csv and the picture to OUTPUT.svg.
"""

import argparse
import contextlib
import json
import sys
import time
from contextlib import closing
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import vl_convert

from benchmarks.process import in_a_process
from segmentation.common.artifacts import RAW, SPLIT, Split
from segmentation.common.files import read_json
from segmentation.common.signals import StopRequest
from segmentation.common.tables import csv_bytes
from segmentation.geometry import Geometry
from segmentation.inference.runner import Runner
from segmentation.loading.cache import ImageCache
from segmentation.loading.dataset import SegmentationDataset
from segmentation.loading.transforms import IMAGENET
from segmentation.models.build import build_model, network_names, network_title
from segmentation.params import load_params
from segmentation.report.charts import COLORS
from segmentation.runtime.devices import choose_device, choose_precision, describe, prepare, to_device
from segmentation.runtime.memory import peak_memory
from segmentation.training.augmentation import Augmentation
from segmentation.training.loader import Batches, loader_workers
from segmentation.training.loop import Training

ROOT = Path(__file__).parents[1]
Row = dict[str, Any]
BATCH = 16
FACTORS = {"images": [250, 1000, 3312], "size": [64, 128, 256], "width": [16, 32, 64]}
MEASURED = {"seconds": "seconds an epoch", "gigabytes": "peak memory, GB"}


def measure(name: str, images: int, size: int, width: int, steps: int) -> dict[str, float]:
    """Return the seconds of an epoch, of decoding all images, and the peak memory of this process."""
    params, device = load_params(ROOT / "presets/pets.yaml"), choose_device()
    prepare(device)
    runner = Runner(device, choose_precision("auto", device), IMAGENET)
    ids = list(islice(cycle(read_json(SPLIT, "split", Split)["train"]), images))
    cache, foreground = ImageCache(images, size), params.data.foreground
    everything = SegmentationDataset(RAW, ids, Geometry(size), foreground, cache=cache)
    started = time.perf_counter()
    for index in range(images):
        everything.read(index)
    decoding = time.perf_counter() - started
    augment, some = Augmentation(params.augment), ids[: steps * BATCH]
    train = SegmentationDataset(RAW, some, Geometry(size), foreground, augment, cache=cache)
    val = SegmentationDataset(RAW, some[:1], Geometry(size), foreground, cache=cache)
    settings = params.train.model_copy(update={"epochs": 2, "min_steps": 0, "small_first": 0.0})
    workers = loader_workers(device, BATCH + 1, size)
    batches = Batches(train, BATCH, shuffle_seed=0, workers=workers)
    model = to_device(build_model(name, width), device)
    training = Training(model, batches, Batches(val, 1), settings, runner, StopRequest())
    with closing(batches):
        for _ in range(settings.epochs):
            training.train_epoch()
            training.validate()
    seconds = images / training.throughput.images_per_second
    return {"seconds": seconds, "decoding": decoding, "gigabytes": peak_memory(device) / 1e9}


def points(factors: dict[str, list[int]]) -> list[tuple[str, dict[str, int]]]:
    """Return the factor that each point varies, and where it is."""
    middle = {factor: values[len(values) // 2] for factor, values in factors.items()}
    return [(factor, middle | {factor: value}) for factor, values in factors.items() for value in values]


def slope(rows: list[Row], factor: str, what: str) -> float:
    """Return the exponent with which `what` grows with `factor`: the slope in a plot of their logarithms."""
    x, y = (np.log([row[key] for row in rows]) for key in (factor, what))
    return float(np.polyfit(x, y, 1)[0])


def varied(rows: list[Row], name: str, factor: str) -> list[Row]:
    """Return the points of a network that vary a factor."""
    return [row for row in rows if (row["network"], row["factor"]) == (name, factor)]


def panel(rows: list[Row], factor: str, what: str) -> dict[str, Any]:
    """Return the Vega-Lite chart of one factor, with a line for each network."""
    names = list(dict.fromkeys(row["network"] for row in rows))
    slopes = [f"{slope(varied(rows, name, factor), factor, what):.2f}" for name in names]
    shown = [row | {"network": network_title(name)} for name in names for row in varied(rows, name, factor)]
    network = {"field": "network", "type": "nominal", "sort": None}
    x, y = (
        {"field": field, "type": "quantitative", "scale": {"type": "log", "nice": False}, "axis": axis}
        for field, axis in (
            (factor, {"values": [row[factor] for row in varied(rows, names[0], factor)], "title": factor}),
            (what, {"title": MEASURED[what], "tickCount": 4}),
        )
    )
    return {
        "title": {"text": f"slope {' and '.join(slopes)}", "fontSize": 11, "fontWeight": "normal"},
        "width": 170,
        "height": 150,
        "data": {"values": shown},
        "mark": {"type": "line", "point": True},
        "encoding": {
            "x": x,
            "y": y,
            "color": network | {"legend": {"orient": "top", "title": None}},
            "strokeDash": network,
        },
    }


def picture(rows: list[Row]) -> str:
    """Return an SVG: a column for each factor, a row of charts for time and for memory."""
    chart = {
        "background": "white",
        "config": {"range": {"category": COLORS}},
        "vconcat": [{"hconcat": [panel(rows, factor, what) for factor in FACTORS]} for what in MEASURED],
    }
    return str(vl_convert.vegalite_to_svg(json.dumps(chart)))


def measure_all(names: list[str], factors: dict[str, list[int]], steps: int, table: Path) -> list[Row]:
    """Measure all points, each in a process of its own; print a line for each, and keep it in `table`."""
    rows: list[Row] = []
    known: dict[tuple[str, ...], dict[str, float]] = {}
    for name in names:
        for factor, where in points(factors):
            place = (name, *map(str, where.values()))
            if place not in known:
                found = in_a_process("benchmarks.scaling", f"--steps={steps}", "--measure", *place)
                known[place] = found
                print(
                    f"{name:<8} {where['images']:>6} {where['size']:>5} {where['width']:>6}"
                    f" {found['seconds']:>11.1f} {found['decoding']:>11.1f} {found['gigabytes']:>8.2f}",
                    flush=True,
                )
            rows.append({"network": name, "factor": factor} | where | known[place])
            table.write_bytes(csv_bytes(list(rows[0]), rows))
    return rows


def main() -> None:
    """Print the table; write it and the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for factor, values in FACTORS.items():
        parser.add_argument(f"--{factor}", type=int, nargs="+", default=values)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--networks", nargs="+", choices=network_names(), default=network_names())
    parser.add_argument("--output", type=Path, default=ROOT / "docs/scaling")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        name, images, size, width = arguments.measure
        with contextlib.redirect_stdout(sys.stderr):  # what else is printed is not the result
            found = measure(name, int(images), int(size), int(width), arguments.steps)
        print(json.dumps(found))
        return
    device = choose_device()
    prepare(device)
    precision = choose_precision("auto", device)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    print(f"{describe(device)}, {precision}, batches of {BATCH}")
    print("network  images  size  width  s an epoch  s decoding  peak GB")
    factors = {factor: getattr(arguments, factor) for factor in FACTORS}
    rows = measure_all(arguments.networks, factors, arguments.steps, arguments.output.with_suffix(".csv"))
    for name in arguments.networks:
        for factor in FACTORS:
            slopes = (f"{what} {slope(varied(rows, name, factor), factor, what):.2f}" for what in MEASURED)
            print(f"{name:<8} slope by {factor}: {', '.join(slopes)}")
    arguments.output.with_suffix(".svg").write_text(picture(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
