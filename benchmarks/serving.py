"""The server against the predictor called directly, side by side.

    python -m benchmarks.serving [--images 100] [--rounds 5]

Run `dvc repro` first: it takes the checkpoints and a test image of this project. A JPEG of 500x375 is sent
to a server on this machine, by one client for the latency and by four at once for the throughput. The direct
ways are loops in this process: the predictor alone, on the decoded photo, and from the JPEG to the PNG of
the mask. The ways take turns.
"""

import argparse
import io
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

from segmentation.common.artifacts import RAW, SPLIT, Split, checkpoint_path
from segmentation.common.dataset_layout import image_path
from segmentation.common.files import read_json
from segmentation.common.image_io import open_rgb
from segmentation.inference.predictor import Predictor
from segmentation.models.build import network_names
from segmentation.prediction.kinds import read_photo, write_kind

SIZE = 500, 375  # width and height
CLIENTS = 4


def photo() -> bytes:
    """Return a test image as a JPEG of `SIZE`."""
    buffer = io.BytesIO()
    first = read_json(SPLIT, "split", Split)["test"][0]
    open_rgb(image_path(RAW, first)).resize(SIZE).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def seconds(work: Callable[[int], object], count: int, clients: int = 1) -> list[float]:
    """Return the time of each of `count` calls, and of all, last."""

    def timed(number: int) -> float:
        began = time.perf_counter()
        work(number)
        return time.perf_counter() - began

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        times = list(pool.map(timed, range(count)))
    return [*times, time.perf_counter() - began]


def main() -> None:
    """Print a table for each network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "tools.serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = re.search(r"http://(\S+)", server.stdout.readline())
        if not address:
            sys.exit("the server did not start")
        try:
            for name in network_names():
                compare(name, address[1], photo(), arguments.images, arguments.rounds)
        finally:
            server.terminate()


def compare(name: str, address: str, jpeg: bytes, count: int, rounds: int) -> None:
    """Print the table of a network."""
    predictor = Predictor.load(checkpoint_path(name))
    image = read_photo(io.BytesIO(jpeg)).image
    connections = [HTTPConnection(address, timeout=60) for _ in range(CLIENTS)]

    def whole(_: int) -> None:
        decoded = read_photo(io.BytesIO(jpeg))
        (found,) = predictor.probabilities([decoded.image])
        write_kind("mask", decoded, found, predictor.threshold, io.BytesIO())

    def request(number: int) -> None:
        free = connections.pop()
        free.request("POST", f"/predict?model={name}", jpeg)
        answer = free.getresponse()
        assert answer.status == 200 and answer.read()
        connections.append(free)

    ways: dict[str, tuple[Callable[[int], object], int]] = {
        "predictor alone": (lambda _: predictor.probabilities([image]), 1),
        "JPEG to PNG": (whole, 1),
        "server, 1 client": (request, 1),
        f"server, {CLIENTS} clients": (request, CLIENTS),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    speeds: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        for way, (work, clients) in ways.items():
            for each in connections:
                each.close()  # the server ends those that were idle; they open again by themselves
            *alone, total = seconds(work, count, clients)
            if number:  # the first round warms up
                times[way] += alone
                speeds[way].append(count / total)
    print(f"{name}, {predictor.geometry.size} px; {rounds} rounds of {count} photos of {SIZE[0]}x{SIZE[1]}")
    print(f"{'':<20}{'median ms':>10}{'p95 ms':>8}{'photos/s':>10}{'lowest':>8}{'highest':>9}")
    for way in ways:
        row = sorted(times[way])
        print(
            f"{way:<20}{1000 * statistics.median(row):>10.1f}{1000 * row[int(0.95 * len(row))]:>8.1f}"
            f"{statistics.median(speeds[way]):>10.1f}{min(speeds[way]):>8.1f}{max(speeds[way]):>9.1f}"
        )
    served = statistics.median(speeds[f"server, {CLIENTS} clients"])
    for way in ("predictor alone", "JPEG to PNG"):
        share = served / statistics.median(speeds[way])
        print(f"{CLIENTS} clients: {100 * share:.0f} % of the throughput of: {way}")


if __name__ == "__main__":
    main()
