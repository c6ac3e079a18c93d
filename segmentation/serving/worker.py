"""The work of all requests: decoding photos, predicting, encoding results."""

import asyncio
import io
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import NamedTuple, TypeVar, TypeVarTuple

import numpy as np
from PIL import Image

from segmentation.common.errors import InputError
from segmentation.common.image_io import image_size
from segmentation.prediction.inputs import HEIC_HINT
from segmentation.prediction.kinds import read_photo, write_kind
from segmentation.runtime.memory import enough_memory
from segmentation.serving.networks import Network

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")

THREADS = 2  # one photo is decoded or encoded while another one is in the network
LARGE = 25_000_000  # pixels; of such photos, one at a time: each takes gigabytes
HEIC = (b"ftyphei", b"ftyphev", b"ftypmif1")  # how such a file goes on after its first four bytes


class Answer(NamedTuple):
    """A result, its height and width in pixels, and the milliseconds that each part of the work took."""

    content: bytes
    height: int
    width: int
    times: dict[str, float]


class Worker:
    """Threads that do the work, so that the server can listen meanwhile."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS)
        self._forward = threading.Lock()  # torch uses all cores for one image; two at once are slower
        self._large = asyncio.Lock()  # whoever waits for it takes no thread

    async def do(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """Call a function in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def predict(
        self, network: Network, file: bytes, kind: str | None, threshold: float, white: int | None
    ) -> Answer:
        """Return a prediction as `tools.predict` writes it, or with `kind` None the probabilities themselves.

        These are little-endian float32, row by row. Raises `InputError` if `file` is not an image, and
        `Fault` if memory runs out.
        """
        return await self._alone_if_large(file, self._predict, network, file, kind, threshold, white)

    async def preview(self, file: bytes, white: int | None, side: int) -> bytes:
        """Return a photo as a network gets it, upright, as JPEG: of a large one, every n-th pixel or so.

        n is the smallest number that leaves at most `side` pixels. Errors as in `predict`.
        """
        return await self._alone_if_large(file, _preview, file, white, side)

    async def _alone_if_large(
        self, file: bytes, function: Callable[[*Arguments], Result], *arguments: *Arguments
    ) -> Result:
        width, height = await self.do(_size, file)

        def work() -> Result:
            with enough_memory(f"a photo of {width}x{height} pixels", "send a smaller one"):
                return function(*arguments)

        async with self._large if width * height > LARGE else nullcontext():
            return await self.do(work)

    def _predict(
        self, network: Network, file: bytes, kind: str | None, threshold: float, white: int | None
    ) -> Answer:
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
        height, width = probabilities.shape
        return Answer(content, height, width, {name: 1000 * value for name, value in seconds.items()})


def _preview(file: bytes, white: int | None, side: int) -> bytes:
    photo = read_photo(io.BytesIO(file), white)
    height, width, _ = photo.image.shape
    step = -(-max(height, width) // side)
    small = Image.fromarray(photo.image).resize((-(-width // step), -(-height // step)), reducing_gap=2)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=95, subsampling=0, icc_profile=photo.profile)
    return buffer.getvalue()


def _size(file: bytes) -> tuple[int, int]:
    try:
        return image_size(io.BytesIO(file))
    except InputError:
        if file.startswith(HEIC, 4):
            raise InputError(HEIC_HINT) from None
        raise
