"""So many requests at once, the others are told to try again."""

import select
import socket
import time
from contextlib import ExitStack

from photos import png
from servers import Server

from segmentation.serving.places import COUNT

PHOTO = png(20, 30)


def test_a_full_queue(server: Server) -> None:
    """More clients than there are places are slow to send theirs: those too many are told to try again."""
    host, port = server.url.removeprefix("http://").split(":")
    head = f"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(PHOTO)}\r\n\r\n".encode()
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection((host, int(port)), timeout=30))
            for _ in range(COUNT + 3)
        ]
        for each in clients:
            each.sendall(head + PHOTO[:10])
        refused = {each: each.recv(4096) for each in answered(clients, 3)}
        assert all(b" 503 " in text and b"\r\nretry-after: 1\r\n" in text for text in refused.values())
        assert server.post("/predict", PHOTO).status_code == 503
        assert server.get("/healthz").status_code == 200
        admitted = [each for each in clients if each not in refused]
        admitted.pop().close()  # gives up
        for each in admitted:
            each.sendall(PHOTO[10:])
            assert each.recv(12) == b"HTTP/1.1 200"
    assert server.post("/predict", PHOTO).status_code == 200


def answered(clients: list[socket.socket], count: int) -> list[socket.socket]:
    """Those clients that have been answered, once there are `count` of them."""
    for _ in range(300):
        found, _, _ = select.select(clients, [], [], 0.1)
        if len(found) >= count:
            break
        time.sleep(0.1)
    assert len(found) == count
    return found


def test_answers_that_nobody_takes(server: Server) -> None:
    """A place is free again only when its answer has been received."""
    host, port = server.url.removeprefix("http://").split(":")
    large = png(1500, 1500)  # its probabilities take 9 MB, more than what sockets hold
    head = f"POST /probabilities HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(large)}\r\n\r\n".encode()
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection((host, int(port)), timeout=60)) for _ in range(COUNT)
        ]
        for each in clients:
            each.sendall(head + large)
        for each in clients:
            assert each.recv(12) == b"HTTP/1.1 200"
        assert server.post("/predict", PHOTO).status_code == 503
        size = 12
        while size < 4 * 1500 * 1500:
            size += len(clients[0].recv(2**20))
        for _ in range(100):  # the place is given back a moment later
            if server.post("/predict", PHOTO).status_code == 200:
                break
            time.sleep(0.1)
        else:
            raise AssertionError("no place became free")
    assert server.post("/predict", PHOTO).status_code == 200
