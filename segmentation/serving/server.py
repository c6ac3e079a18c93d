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
from segmentation.serving.requests import ARRIVAL_S

LOCAL = ("127.0.0.1", "localhost", "::1")
ANY = ("0.0.0.0", "::", "")
FINISH_S = ARRIVAL_S + 60  # seconds after a signal, for requests under way: to arrive, and to be answered


def serve(host: str, port: int, files: Sequence[Path], root_path: str = "") -> None:
    """Answer requests with the networks of checkpoint files until a signal; port 0 is any free one.

    A proxy may show the server under the prefix `root_path`. Raises `InputError` as `load_networks` does, and
    `Fault` if the address cannot be had.
    """
    networks = load_networks(files)
    examples = choose_examples([network.meta for network in networks.values()])
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family)
    except (OSError, TypeError) as error:  # the latter from Python's encoding of names
        problem = error.strerror if isinstance(error, OSError) else "not a name of a machine"
        raise Fault(f"--host {host} --port {port}: {problem}; choose another one") from None
    # Else each answer waits 40 ms for an acknowledgement; asyncio does this for sockets of its own alone.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    names = [*LOCAL, host.lower(), socket.gethostname().lower()]  # of this machine
    app = create_app(networks, names, host in ANY, examples, root_path)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=FINISH_S))
    # uvicorn finishes what is under way, then sends the signal once more.
    with listener, suppress(Interrupted):
        address = f"[{host}]" if ":" in host else host
        print(f"{', '.join(networks)}: http://{address}:{listener.getsockname()[1]} (Ctrl-C stops)")
        if host not in LOCAL:
            print("There is no login and no encryption: all who reach this address can use it.")
        print(end="", flush=True)
        server.run(sockets=[listener])
    print("stopped")
