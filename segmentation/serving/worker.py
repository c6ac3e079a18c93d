"""The work of all requests: decoding photos, predicting, encoding results."""

import asyncio
import io
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import TypeVar

import numpy as np
from PIL import Image

from segmentation.common.image_io import image_size
from segmentation.prediction.kinds import read_photo, write_kind
from segmentation.runtime.memory import enough_memory
from segmentation.serving.networks import Network

Result = TypeVar("Result")

THREADS = 2  # one photo is decoded or encoded while another one is in the network
LARGE = 25_000_000  # pixels; of such photos, one at a time: each takes gigabytes

_forward = threading.Lock()  # torch uses all cores for one image; two at once are slower


class Worker:
    """Threads that do the work, so that the server can listen meanwhile."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS)
        self._large = asyncio.Lock()  # photos that wait for it take no thread

    async def do(self, work: Callable[[], Result]) -> Result:
        """Call a function in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def do_with_photo(self, file: bytes, work: Callable[[], Result]) -> Result:
        """Call a function that decodes the photo `file`: of large photos, one at a time.

        Raises `InputError` if `file` is not an image, and `Fault` if memory runs out.
        """
        width, height = await self.do(partial(image_size, io.BytesIO(file)))

        def work_in_memory() -> Result:
            with enough_memory(f"a photo of {width}x{height} pixels", "send a smaller one"):
                return work()

        async with self._large if width * height > LARGE else nullcontext():
            return await self.do(work_in_memory)


def predict_photo(
    network: Network, file: bytes, white: int | None, kind: str | None, threshold: float
) -> tuple[bytes, dict[str, str]]:
    """Return a prediction as `tools.predict` writes it, and headers that say how long each step took.

    With `kind` None, it is the probabilities, little-endian float32, row by row; headers say their size.
    """
    began = time.perf_counter()
    photo = read_photo(io.BytesIO(file), white)
    decoded = time.perf_counter()
    with _forward:
        entered = time.perf_counter()
        (probabilities,) = network.predictor.probabilities([photo.image])
    predicted = time.perf_counter()
    headers = {}
    if kind is None:
        content = np.ascontiguousarray(probabilities, "<f4").tobytes()
        height, width = probabilities.shape
        headers = {"X-Height": str(height), "X-Width": str(width)}
    else:
        buffer = io.BytesIO()
        write_kind(kind, photo, probabilities, threshold, buffer)
        content = buffer.getvalue()
    encoded = time.perf_counter()
    seconds = {"read": decoded - began, "network": predicted - entered, "write": encoded - predicted}
    timing = ", ".join(f"{step};dur={1000 * taken:.1f}" for step, taken in seconds.items())
    return content, {"Server-Timing": timing} | headers


def preview_photo(file: bytes, white: int | None, side: int) -> bytes:
    """Return a photo as a network gets it, upright, as JPEG: of a large one, every n-th pixel or so.

    n is the smallest number that leaves at most `side` pixels.
    """
    photo = read_photo(io.BytesIO(file), white)
    height, width, _ = photo.image.shape
    step = -(-max(height, width) // side)
    small = Image.fromarray(photo.image).resize((-(-width // step), -(-height // step)), reducing_gap=2)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=95, subsampling=0, icc_profile=photo.profile)
    return buffer.getvalue()
