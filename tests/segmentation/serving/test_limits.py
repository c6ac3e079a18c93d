"""What the server takes on at once, and how long it waits for its clients."""

import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import uvicorn
from photos import png
from servers import Server
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from segmentation.serving.limits import MAX_REQUESTS, Limits

PHOTO = png(20, 30)
RESULT = 20_000_000  # bytes, more than what sockets hold
REQUEST = b"GET /predict HTTP/1.1\r\nHost: x\r\n\r\n"


def test_a_full_queue(server: Server) -> None:
    """More clients than there are places are slow to send theirs: those too many are told to try again."""
    host, port = server.url.removeprefix("http://").split(":")
    head = f"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(PHOTO)}\r\n\r\n".encode()
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection((host, int(port)), timeout=30))
            for _ in range(MAX_REQUESTS + 3)
        ]
        for client in clients:
            client.sendall(head + PHOTO[:10])
        refused = {client: client.recv(4096) for client in answered(clients, 3)}
        assert all(b" 503 " in text and b"\r\nretry-after: 1\r\n" in text for text in refused.values())
        assert server.post("/predict", PHOTO).status_code == 503
        assert server.get("/healthz").status_code == 200
        admitted = [client for client in clients if client not in refused]
        admitted.pop().close()  # gives up
        for client in admitted:
            client.sendall(PHOTO[10:])
            assert client.recv(12) == b"HTTP/1.1 200"
    assert server.post("/predict", PHOTO).status_code == 200


def answered(clients: list[socket.socket], count: int) -> list[socket.socket]:
    """Those clients that have been answered, once there are `count` of them."""
    for _ in range(300):
        ready, _, _ = select.select(clients, [], [], 0.1)
        if len(ready) >= count:
            break
        time.sleep(0.1)
    assert len(ready) == count
    return ready


def receive(client: socket.socket, size: int) -> None:
    """Receive so many bytes, or more."""
    while size > 0:
        content = client.recv(2**20)
        assert content, "the server closed the connection"
        size -= len(content)


def test_answers_that_nobody_takes(server: Server) -> None:
    """A place is free again only when its answer has been received."""
    host, port = server.url.removeprefix("http://").split(":")
    large = png(1500, 1500)  # its probabilities take 9 MB, more than what sockets hold
    head = f"POST /probabilities HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(large)}\r\n\r\n".encode()
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection((host, int(port)), timeout=60))
            for _ in range(MAX_REQUESTS)
        ]
        for client in clients:
            client.sendall(head + large)
        for client in clients:
            assert client.recv(12) == b"HTTP/1.1 200"
        assert server.post("/predict", PHOTO).status_code == 503
        receive(clients[0], 4 * 1500 * 1500)
        for _ in range(100):  # the place is given back a moment later
            if server.post("/predict", PHOTO).status_code == 200:
                break
            time.sleep(0.1)
        else:
            raise AssertionError("no place became free")
    assert server.post("/predict", PHOTO).status_code == 200


async def answers_much(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await Response(bytes(RESULT))(scope, receive, send)


@contextmanager
def serving(limits: Limits) -> Iterator[int]:
    """Serve at a free port of this machine, in a thread."""
    server = uvicorn.Server(uvicorn.Config(limits, log_level="error", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(timeout=30)
        assert not thread.is_alive()


def asking(stack: ExitStack, port: int) -> socket.socket:
    client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
    client.sendall(REQUEST)
    return client


def test_a_client_that_reads_slowly_is_given_up_in_the_end() -> None:
    """Every 0.1 s it takes as much as keeps a limit for each piece from ending: the whole has a limit."""
    with (
        serving(Limits(answers_much, count=1, seconds=1.0 - RESULT / 1_000_000)) as port,
        ExitStack() as stack,
    ):
        slow, began = asking(stack, port), time.monotonic()
        received = len(slow.recv(2**16))
        while (piece := slow.recv(2**16)) and time.monotonic() - began < 20:
            received += len(piece)
            time.sleep(0.1)
        assert received < RESULT and 0.9 < time.monotonic() - began < 20
        assert asking(stack, port).recv(12) == b"HTTP/1.1 200"  # its place is free


def test_so_many_bytes_wait_for_their_clients_and_no_more() -> None:
    with serving(Limits(answers_much, waiting=2 * RESULT)) as port, ExitStack() as stack:
        waiting = [asking(stack, port) for _ in range(2)]
        assert [client.recv(12) for client in waiting] == [b"HTTP/1.1 200"] * 2
        refused = stack.enter_context(asking(stack, port).makefile("rb"))
        assert refused.readline().startswith(b"HTTP/1.1 503")
        assert any(b"results wait" in refused.readline() for _ in range(9))
        receive(waiting[0], RESULT)
        for _ in range(100):  # the bytes are given back a moment later
            if asking(stack, port).recv(12) == b"HTTP/1.1 200":
                break
            time.sleep(0.1)
        else:
            raise AssertionError("no room became free")


def test_one_result_may_be_larger_than_all_that_may_wait() -> None:
    with serving(Limits(answers_much, waiting=10)) as port, ExitStack() as stack:
        receive(asking(stack, port), RESULT)
