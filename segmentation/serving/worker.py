"""The work of all requests: decoding photos, predicting, encoding results."""

import asyncio
import dataclasses
import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import TypeVar

import numpy as np
from fastapi import Request
from PIL import Image
from starlette.requests import ClientDisconnect
from torch import Tensor, nn

from segmentation.common.errors import InputError
from segmentation.common.image_io import image_size
from segmentation.evaluation.overlays import encoded
from segmentation.inference.predictor import Runner
from segmentation.inference.windows import BATCH_SIZE, window_count
from segmentation.prediction.kinds import read_photo, write_kind
from segmentation.prediction.load import pixels_in_memory
from segmentation.runtime.memory import enough_memory
from segmentation.serving.networks import Network
from segmentation.serving.requests import PredictOptions, ProbabilityOptions

Result = TypeVar("Result")

THREADS = 2  # one photo is decoded or encoded while another one is in the network
LARGE = 25_000_000  # pixels; of such photos, one at a time: each takes gigabytes
MAX_PIXELS = 178_956_970  # of a photo in a network; Pillow refuses to decode larger ones

_forward = threading.Lock()  # torch uses all cores for one batch; two at once are slower


@dataclasses.dataclass
class Job:
    """The work for one request: how many of the photo's windows are done, and whether its client has gone."""

    windows: int = 1
    done: int = 0
    gone: bool = False

    def check(self) -> None:
        """Raise `ClientDisconnect` if nobody waits for the result any more."""
        if self.gone:
            raise ClientDisconnect


@dataclasses.dataclass(frozen=True)
class SharedRunner(Runner):
    """A runner that stops when the client has gone, and lets other photos in between batches of windows."""

    job: Job

    def logits(self, model: nn.Module, images: Tensor) -> Tensor:
        """Return what `Runner.logits` does; raises `ClientDisconnect`."""
        with _forward:
            self.job.check()
            logits = super().logits(model, images)
        self.job.done += len(images)
        return logits


class Worker:
    """Threads that do the work, so that the server can listen meanwhile; `jobs` is what they do, by id."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self._threads = ThreadPoolExecutor(THREADS)
        self._large = asyncio.Lock()  # photos that wait for it take no thread

    async def do(self, work: Callable[[], Result]) -> Result:
        """Call a function in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def do_with_photo(
        self, request: Request, file: bytes, network: Network | None, work: Callable[[Job], Result]
    ) -> Result:
        """Call a function that decodes the photo `file`, for `network` if there is one.

        Of photos that take much memory or many windows, one at a time. The header X-Request-ID names the job.
        Raises `InputError` for no image or one too large, `Fault` without memory, and `ClientDisconnect`.
        """
        width, height = await self.do(partial(image_size, io.BytesIO(file)))
        job, pixels = Job(), width * height
        if network:
            geometry = network.predictor.geometry
            job.windows = window_count(*geometry.network_shape(height, width), geometry.size)
            pixels = pixels_in_memory(network.predictor, width, height)
        if pixels > MAX_PIXELS:
            raise InputError(f"{pixels / 1e6:.0f} million pixels at the network's scale; send fewer")

        def work_in_memory() -> Result:
            job.check()
            with enough_memory(f"a photo of {width}x{height} pixels", "send a smaller one"):
                return work(job)

        async def watch() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass
            job.gone = True

        name, watcher = request.headers.get("x-request-id", ""), asyncio.create_task(watch())
        self.jobs[name] = job
        try:
            async with self._large if pixels > LARGE or job.windows > BATCH_SIZE else nullcontext():
                return await self.do(work_in_memory)
        finally:
            job.gone = True  # for a thread that works on, when the server stops
            watcher.cancel()
            self.jobs.pop(name, None)


def predict_photo(
    network: Network, file: bytes, options: ProbabilityOptions, job: Job
) -> tuple[bytes, dict[str, str]]:
    """Return a prediction as `tools.predict` writes it, and headers with its size.

    Without a kind, it is the probabilities, little-endian float32, row by row.
    """
    photo = read_photo(io.BytesIO(file), options.white)
    runner = network.predictor.runner
    shared = SharedRunner(runner.device, runner.precision, runner.normalization, job)
    (probabilities,) = dataclasses.replace(network.predictor, runner=shared).probabilities([photo.image])
    job.check()
    height, width = probabilities.shape
    buffer = io.BytesIO()
    if isinstance(options, PredictOptions):
        threshold = options.threshold or network.meta.threshold
        write_kind(options.kind, photo, probabilities, threshold, buffer)
    else:
        buffer.write(np.ascontiguousarray(probabilities, "<f4").data)
    return buffer.getvalue(), {"X-Height": str(height), "X-Width": str(width)}


def preview_photo(file: bytes, white: int | None, side: int) -> bytes:
    """Return a photo as a network gets it, upright, as JPEG: of a large one, every n-th pixel or so.

    n is the smallest number that leaves at most `side` pixels.
    """
    photo = read_photo(io.BytesIO(file), white)
    height, width, _ = photo.image.shape
    step = -(-max(height, width) // side)
    small = Image.fromarray(photo.image).resize((-(-width // step), -(-height // step)), reducing_gap=2)
    return encoded(small, "JPEG", quality=95, subsampling=0, icc_profile=photo.profile)
