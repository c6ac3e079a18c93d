"""Many clients at once, and the end of a server."""

import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import requests
from photos import png, png_of_one_colour, save, scene
from servers import Server, running

CLIENTS, REQUESTS, FIRST = 16, 300, 50


@pytest.mark.slow
def test_memory_does_not_grow_with_requests(server: Server, tmp_path: Path) -> None:
    """Photos of several sizes, as all kinds; every answer is that to the same request alone."""
    photos = [
        save(tmp_path / f"{k}.jpg", scene(300 + 40 * k, 400, seed=k), quality=90).read_bytes()
        for k in range(4)
    ]
    kinds = ["mask", "cutout", "overlay", "probability"]

    def answer(number: int) -> bytes:
        response = server.post(f"/predict?model=unet&kind={kinds[number % 4]}", photos[number // 4 % 4])
        assert response.status_code == 200, response.text
        return response.content

    alone = [answer(number) for number in range(16)]
    process = psutil.Process(server.process.pid)
    with ThreadPoolExecutor(CLIENTS) as clients:
        first = list(clients.map(answer, range(FIRST)))
        before = process.memory_info().rss
        rest = list(clients.map(answer, range(FIRST, REQUESTS)))
    after = process.memory_info().rss
    assert all(content == alone[number % 16] for number, content in enumerate(first + rest))
    assert after < 1.1 * before, (before, after)


def test_a_signal_lets_requests_finish(finished: Path, tmp_path: Path) -> None:
    """A photo is half sent when the signal comes: it is answered, and nobody else is let in."""
    photo = save(tmp_path / "photo.jpg", scene(300, 400)).read_bytes()
    with running(finished) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as client:
            head = f"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(photo)}\r\n\r\n"
            client.sendall(head.encode() + photo[:100])
            time.sleep(0.5)  # until it has been admitted
            server.process.terminate()
            with pytest.raises(subprocess.TimeoutExpired):
                server.process.wait(1)
            with pytest.raises(requests.ConnectionError):
                server.get("/healthz")
            client.sendall(photo[100:])
            assert client.recv(12) == b"HTTP/1.1 200"
        assert server.process.wait(10) == 0


def test_small_photos_do_not_wait_for_large_ones(server: Server) -> None:
    """Large photos are worked on one at a time; those that wait take no thread."""
    large, small, answered = png_of_one_colour(5100, 5000), png(30, 20), list[str]()

    def ask(name: str, photo: bytes) -> None:
        assert server.post("/predict", photo).status_code == 200
        answered.append(name)

    with ThreadPoolExecutor(5) as clients:
        asked = [clients.submit(ask, "large", large) for _ in range(4)]
        time.sleep(0.3)
        asked.append(clients.submit(ask, "small", small))
        for one in asked:
            one.result()
    assert answered.index("small") <= 1


def test_a_photo_too_large_for_the_memory_is_named_as_that(finished: Path) -> None:
    large = png_of_one_colour(9000, 9000)
    with running(finished) as server:
        process = psutil.Process(server.process.pid)
        assert server.post("/predict", png(30, 20)).status_code == 200
        process.rlimit(psutil.RLIMIT_AS, (process.memory_info().vms + 600_000_000, -1))
        answer = server.post("/predict", large)
        assert answer.status_code == 503 and "out of memory" in answer.json()["detail"]
        assert "32x32" not in answer.text  # what the network sees of it is not too large
        process.rlimit(psutil.RLIMIT_AS, (-1, -1))
        assert server.post("/predict", large).status_code == 200
