"""A network that slides windows: progress, clients that go away, and other photos meanwhile."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from photos import png, png_of_one_colour, save, scene
from servers import Server, running, tiles

from segmentation.inference.predictor import Predictor
from segmentation.inference.windows import window_count
from segmentation.prediction.job import BATCH_PIXELS, PhotoTask, _batches
from segmentation.prediction.load import pixels_in_memory
from segmentation.serving.worker import LARGE, MAX_PIXELS

SIDE = 3000  # pixels; takes many seconds in windows of 32
STOPS_S = 2  # seconds


@pytest.fixture(scope="module")
def tiled(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of two networks: windows at an image's own pixels, and at four times as many each way."""
    folder = tmp_path_factory.mktemp("tiles")
    files = [tiles(finished, folder / "own.pt"), tiles(finished, folder / "enlarged.pt", 4.0)]
    with running(finished, "--checkpoint", *files) as server:
        yield server


def sent(server: Server, name: str, photo: bytes) -> socket.socket:
    """A client that has sent a photo and waits."""
    host, port = server.url.removeprefix("http://").split(":")
    head = f"POST /probabilities?model=own HTTP/1.1\r\nHost: {host}\r\nX-Request-ID: {name}\r\n"
    client = socket.create_connection((host, int(port)), timeout=60)
    client.sendall(f"{head}Content-Length: {len(photo)}\r\n\r\n".encode() + photo)
    return client


def progress(server: Server, name: str) -> tuple[int, int] | None:
    state = server.get(f"/progress/{name}").json()
    return (state["done"], state["windows"]) if state else None


def wait_for_windows(server: Server, name: str) -> None:
    for _ in range(600):
        if (state := progress(server, name)) and state[0]:
            return
        time.sleep(0.05)
    raise AssertionError("no window was done")


def test_small_and_large_photos_give_what_the_predictor_gives(
    tiled: Server, finished: Path, tmp_path: Path
) -> None:
    predictor = Predictor.load(tiles(finished, tmp_path / "tiles.pt"))
    for height, width in ((20, 30), (200, 310)):
        answer = tiled.post("/probabilities?model=own", png(height, width))
        (expected,) = predictor.probabilities([scene(height, width)])
        np.testing.assert_array_equal(np.frombuffer(answer.content, "<f4").reshape(height, width), expected)


def test_progress_and_a_client_that_goes_away(tiled: Server) -> None:
    """While a photo is in its windows, others are told how far it is; without its client, it stops."""
    photo, process = png_of_one_colour(SIDE, SIDE), psutil.Process(tiled.process.pid)
    assert progress(tiled, "large") is None
    with sent(tiled, "large", photo), sent(tiled, "waiting", photo):
        wait_for_windows(tiled, "large")
        done, windows = progress(tiled, "large") or (0, 0)
        assert 0 < done < windows == window_count(SIDE, SIDE, 32)
        assert progress(tiled, "waiting") == (0, windows)
    time.sleep(STOPS_S)
    assert progress(tiled, "large") is None and progress(tiled, "waiting") is None
    before = sum(process.cpu_times()[:2])
    time.sleep(1)
    assert sum(process.cpu_times()[:2]) - before < 0.3  # seconds: nothing is computed


def test_a_small_photo_does_not_wait_for_the_windows_of_a_large_one(tiled: Server) -> None:
    small, large = png(20, 30), png_of_one_colour(SIDE, SIDE)
    with sent(tiled, "large", large):
        wait_for_windows(tiled, "large")
        began = time.perf_counter()
        assert tiled.post("/predict?model=own", small).status_code == 200
        assert time.perf_counter() - began < 2
        before, windows = progress(tiled, "large") or (0, 0)
        time.sleep(0.5)
        after, _ = progress(tiled, "large") or (0, 0)
        assert before < after < windows  # it goes on


def test_photos_of_several_windows_wait_in_turn(tiled: Server) -> None:
    """Both are answered: the first one lets the second one in."""
    with ThreadPoolExecutor(2) as clients:
        photos = [clients.submit(tiled.post, "/predict?model=own", png(300, 400)) for _ in range(2)]
    assert [photo.result().status_code for photo in photos] == [200, 200]


def test_pixels_that_the_network_sees_are_limited(tiled: Server) -> None:
    """A photo that is small by itself is refused where it is large in the network."""
    photo = png_of_one_colour(3500, 3500)
    assert 3500**2 < LARGE < MAX_PIXELS < 16 * 3500**2
    began = time.perf_counter()
    answer = tiled.post("/predict?model=enlarged", photo)
    assert answer.status_code == 422 and time.perf_counter() - began < 5
    assert answer.json()["detail"].startswith("196 million pixels at the network's scale")
    assert tiled.post("/preview", photo).status_code == 200  # no network sees it


def test_batches_of_predict_count_what_the_network_sees(finished: Path, tmp_path: Path) -> None:
    photos = [save(tmp_path / f"{number}.png", scene(500, 600)) for number in range(3)]
    tasks = [PhotoTask(photo, {}) for photo in photos]
    own, enlarged = (Predictor.load(tiles(finished, tmp_path / "tiles.pt", scale)) for scale in (1.0, 8.0))
    assert 2 * 500 * 600 < BATCH_PIXELS < 2 * 64 * 500 * 600
    assert pixels_in_memory(enlarged, 30, 20) == 64 * 600 and pixels_in_memory(own, 30, 20) == 600
    assert [len(batch) for batch in _batches(own, tasks, 8)] == [3]
    assert [len(batch) for batch in _batches(enlarged, tasks, 8)] == [1, 1, 1]
