"""The server against the predictor called directly, side by side.

    python -m benchmarks.serving [--images 100] [--rounds 5]

Run `dvc repro` first: it takes the checkpoints and a test image of this project. A JPEG of 500x375 is sent
to a server on this machine, by one client for the latency and by four at once for the throughput. The direct
sides are loops in this process: the predictor alone, on the decoded photo, and from the JPEG to the PNG of
the mask. The sides take turns.
"""

import io
import re
import statistics
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection

import numpy as np

from benchmarks.runner import in_turn, median_and_range, print_table, seconds
from segmentation.common.artifacts import RAW, SPLIT, Split, checkpoint_path
from segmentation.common.command_line import make_parser, run
from segmentation.common.dataset_layout import image_path
from segmentation.common.errors import Fault
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


def compare(name: str, address: str, jpeg: bytes, count: int, rounds: int) -> None:
    """Print the table of a network."""
    predictor = Predictor.load(checkpoint_path(name))
    image = read_photo(io.BytesIO(jpeg)).image
    connections = [HTTPConnection(address, timeout=60) for _ in range(CLIENTS)]

    def predict() -> None:
        predictor.probabilities([image])

    def jpeg_to_png() -> None:
        decoded = read_photo(io.BytesIO(jpeg))
        (probabilities,) = predictor.probabilities([decoded.image])
        write_kind("mask", decoded, probabilities, predictor.threshold, io.BytesIO())

    def request() -> None:
        connection = connections.pop()
        connection.request("POST", f"/predict?model={name}", jpeg)
        response = connection.getresponse()
        assert response.status == 200 and response.read()
        connections.append(connection)

    def measure(work: Callable[[], None], clients: int) -> tuple[list[float], float]:
        """Return the milliseconds of each of `count` calls, and how many there were in a second."""
        for connection in connections:
            connection.close()  # the server ends those that were idle; they open again by themselves
        with ThreadPoolExecutor(clients) as pool:
            times: list[float] = []
            total = seconds(lambda: times.extend(pool.map(lambda _: seconds(work), range(count))))
        return [1000 * time for time in times], count / total

    sides = {
        "predictor alone": partial(measure, predict, 1),
        "JPEG to PNG": partial(measure, jpeg_to_png, 1),
        "server, 1 client": partial(measure, request, 1),
        f"server, {CLIENTS} clients": partial(measure, request, CLIENTS),
    }
    print(f"{name}, {predictor.geometry.size} px; {rounds} rounds of {count} photos of {SIZE[0]}x{SIZE[1]}")
    rows, median_speeds = [], {}
    for side, results in in_turn(sides, rounds, warm_up=True).items():
        times = np.concatenate([times for times, _ in results])
        speeds = [speed for _, speed in results]
        median_speeds[side] = statistics.median(speeds)
        row = {"side": side, "median ms": f"{np.median(times):.1f}", "p95": f"{np.percentile(times, 95):.1f}"}
        rows.append(row | {"photos/s (range)": median_and_range(speeds, 1)})
    print_table(rows)
    for side in ("predictor alone", "JPEG to PNG"):
        share = median_speeds[f"server, {CLIENTS} clients"] / median_speeds[side]
        print(f"{CLIENTS} clients: {100 * share:.0f} % of the throughput of: {side}", flush=True)


def main(images: int, rounds: int) -> None:
    """Print a table for each network."""
    command = [sys.executable, "-m", "tools.serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = re.search(r"http://(\S+)", server.stdout.readline())
        if not address:
            raise Fault("the server did not start")
        try:
            for name in network_names():
                compare(name, address[1], photo(), images, rounds)
        finally:
            server.terminate()


if __name__ == "__main__":
    parser = make_parser(__doc__)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    run(main, parser)
