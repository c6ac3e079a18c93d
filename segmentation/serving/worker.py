"""Prediction for many clients at once, in bounded memory."""

import asyncio
import io
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, ParamSpec, TypeVar

import numpy as np

from segmentation.prediction.kinds import read_photo, write_kind
from segmentation.serving.networks import Network

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

THREADS = 2  # one photo is decoded or encoded while another one is in the network
PLACES = 24  # requests that are admitted, those under way included; each may hold a photo as it was sent


class Full(Exception):
    """All places are taken."""


class Answer(NamedTuple):
    """A result, its height and width in pixels, and the milliseconds that each part of the work took."""

    content: bytes
    height: int
    width: int
    times: dict[str, float]


class Worker:
    """Threads that do the work of all requests, and the places for requests that wait for them."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS)
        self._forward = threading.Lock()  # torch uses all cores for one image; two at once are slower
        self._free = PLACES

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take a place until the block ends; raises `Full`. To be called in the event loop only."""
        if not self._free:
            raise Full
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1

    async def do(
        self, function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """Call a function in one of the threads."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: function(*args, **kwargs))

    def predict(
        self, network: Network, file: bytes, kind: str | None, threshold: float, white: int | None
    ) -> Answer:
        """Return a prediction as `tools.predict` writes it, or with `kind` None the probabilities themselves.

        These are little-endian float32, row by row. Raises `InputError` if `file` is not an image.
        """
        began = time.perf_counter()
        photo = read_photo(io.BytesIO(file), white)
        decoded = time.perf_counter()
        with self._forward:
            entered = time.perf_counter()
            (probabilities,) = network.predictor.probabilities([photo.image])
        predicted = time.perf_counter()
        if kind is None:
            content = np.ascontiguousarray(probabilities, "<f4").tobytes()
        else:
            buffer = io.BytesIO()
            write_kind(kind, photo, probabilities, threshold, buffer)
            content = buffer.getvalue()
        encoded = time.perf_counter()
        seconds = {"read": decoded - began, "network": predicted - entered, "write": encoded - predicted}
        times = {name: 1000 * value for name, value in seconds.items()}
        height, width = probabilities.shape
        return Answer(content, height, width, times)
