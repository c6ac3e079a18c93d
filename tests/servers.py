"""The real server, in a process of its own."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import requests

from segmentation.models.checkpoints import checkpoint_bytes, load_checkpoint


class Server(NamedTuple):
    """A server that runs, and its address."""

    process: subprocess.Popen[str]
    url: str

    def post(self, path: str, data: object = None, **options: object) -> requests.Response:
        return requests.post(self.url + path, data=data, timeout=60, **options)  # type: ignore[arg-type]

    def get(self, path: str, **options: object) -> requests.Response:
        return requests.get(self.url + path, timeout=60, **options)  # type: ignore[arg-type]


@contextmanager
def running(project: Path, *arguments: str | Path) -> Iterator[Server]:
    """Start a server in a project; in the end it must stop in good order, having complained about nothing."""
    command = [sys.executable, "-m", "tools.serve", "--port", "0", *map(str, arguments)]
    process = subprocess.Popen(
        command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    address = re.search(r"http://\S+", process.stdout.readline())
    if not address:
        raise AssertionError(process.communicate()[1])
    try:
        yield Server(process, address[0])
    finally:
        process.terminate()
        try:
            stdout, stderr = process.communicate(timeout=90)
        finally:
            process.kill()  # one that does not stop must not stay
    assert stderr == "", stderr
    assert (process.returncode, stdout.splitlines()[-1]) == (0, "stopped")


def tiles(finished: Path, file: Path, scale: float = 1.0) -> Path:
    """The checkpoint of a network that slides windows of 32x32 pixels."""
    model, meta = load_checkpoint(finished / "checkpoints/unet.pt")
    changed = meta.model_copy(update={"fit": "tiles", "scale": scale})
    file.write_bytes(checkpoint_bytes(model.state_dict(), changed))
    return file
