"""Listening, and stopping in good order."""

import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import uvicorn

from segmentation.common.errors import Fault
from segmentation.common.signals import Interrupted
from segmentation.serving.app import create_app
from segmentation.serving.examples import choose_examples
from segmentation.serving.networks import load_networks

LOCAL = ("127.0.0.1", "localhost", "::1")
ANY = ("0.0.0.0", "::")
FINISH_S = 60  # in which requests under way must end after a signal


def serve(host: str, port: int, files: Sequence[Path]) -> None:
    """Answer requests with the networks of checkpoint files until a signal; port 0 is any free one.

    Raises `InputError` as `load_networks` does, and `Fault` if the address cannot be had.
    """
    networks = load_networks(files)
    app = create_app(networks, allowed_hosts(host), choose_examples())
    with _listening(host, port) as listener:
        print(f"{', '.join(networks)}: http://{_bracketed(host)}:{listener.getsockname()[1]} (Ctrl-C stops)")
        if host not in LOCAL:
            print("There is no login and no encryption: whoever reaches this address can use it.")
        print(end="", flush=True)
        config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=FINISH_S)
        with suppress(Interrupted):  # uvicorn finishes what is under way, then sends the signal once more
            uvicorn.Server(config).run(sockets=[listener])
    print("stopped")


def allowed_hosts(host: str) -> list[str]:
    """Return the names by which clients may call a server that listens on `host`.

    A page of another site can make its own name point here (DNS rebinding); its requests carry that name.
    """
    return ["*"] if host in ANY else [_bracketed(each) for each in {*LOCAL, host}]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listening(host: str, port: int) -> socket.socket:
    try:
        listener = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
    except OSError as error:
        raise Fault(f"--host {host} --port {port}: {error.strerror}; choose another one") from None
    # Else each answer waits 40 ms for an acknowledgement; asyncio does this for sockets of its own alone.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
