"""A dataset in batches: which images each process takes, in which order."""

import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from segmentation.common.cores import usable_cores
from segmentation.common.seeds import Purpose, stream
from segmentation.common.signals import SIGNALS
from segmentation.loading.cache import decoded_bytes
from segmentation.loading.dataset import Item, Key, SegmentationDataset
from segmentation.runtime.distributed import local_world_size, rank, world_size
from segmentation.training.crops import TrainingCrops

Data = TypeVar("Data", SegmentationDataset, TrainingCrops)

SHARED = Path("/dev/shm")
PREFETCHED = 2  # batches that each worker has ready
IN_USE = 2  # batches that the network has, or just had


def loader_workers(device: torch.device, images: int, size: int) -> int:
    """Return how many processes prepare images: few on a CPU, whose cores the network needs itself.

    On two cores none: there a worker cost the network more than it gained (0.8 times the speed). Each passes
    batches on through shared memory, so there are no more than it has room for; `images` is the number in a
    batch, of all loaders together, `size` their side in pixels.
    """
    cores = usable_cores() // local_world_size()
    workers = min(4, cores // 4) if device.type == "cpu" else min(8, cores)
    if sys.platform != "linux":  # where shared memory is not a folder
        return workers
    free = shutil.disk_usage(SHARED).free // local_world_size() if SHARED.is_dir() else 0
    possible = min(workers, free // ((PREFETCHED + IN_USE) * decoded_bytes([(size, size)] * images)))
    if possible < workers and rank() == 0:
        print(
            f"{possible} instead of {workers} processes prepare images: {SHARED} has only"
            f" {free // 2**20} MB free for each; enlarge it, as with `docker run --shm-size=8g`",
            flush=True,
        )
    return possible


def _ignore_signals(_: int) -> None:
    """A signal to all processes is for the one that trains: it needs its workers to finish the step."""
    for signum in SIGNALS:
        signal.signal(signum, signal.SIG_IGN)


class BatchSampler(Sampler[list[Key]]):
    """The batches that this process takes of an epoch, after the first `skipped`.

    With a `seed`, for training: in an order drawn from seed and epoch, the images of each batch dealt out to
    the processes, so that all take every step together. Without one, for scoring: in list order, the
    processes take the batches in turn.
    """

    def __init__(self, count: int, batch_size: int, seed: int | None) -> None:
        self.count, self.seed, self.epoch, self.skipped = count, seed, 0, 0
        self.starts = list(range(batch_size, count, batch_size))  # without the first
        if seed is not None and self.starts and count - self.starts[-1] < world_size():
            self.starts.pop()  # too few for one image a process: they join the batch before

    def __len__(self) -> int:
        batches = range(len(self.starts) + 1)
        return len(batches if self.seed is not None else batches[rank() :: world_size()])

    def __iter__(self) -> Iterator[list[Key]]:
        order, mine = np.arange(self.count), slice(rank(), None, world_size())
        if self.seed is None:
            batches = np.split(order, self.starts)[mine]
        else:
            order = np.random.default_rng(stream(Purpose.ORDER, self.seed, self.epoch)).permutation(order)
            batches = [batch[mine] for batch in np.split(order, self.starts)]
        for batch in batches[self.skipped :]:
            yield [(self.epoch, int(index)) for index in batch]


class Batches(Generic[Data]):
    """A dataset in batches, shuffled by `shuffle_seed` if there is one."""

    def __init__(
        self, dataset: Data, batch_size: int, shuffle_seed: int | None = None, workers: int = 0
    ) -> None:
        self.dataset: Data = dataset
        self.sampler = BatchSampler(len(dataset), batch_size, shuffle_seed)
        self.loader = DataLoader(
            dataset,
            batch_sampler=self.sampler,
            num_workers=workers,
            prefetch_factor=PREFETCHED if workers else None,
            persistent_workers=workers > 0,
            # Forked workers share the cache.
            multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
            worker_init_fn=_ignore_signals,
            pin_memory=torch.cuda.is_available(),
        )

    def __len__(self) -> int:
        return len(self.loader)

    def close(self) -> None:
        """End the workers. After an error nothing else does: they ignore the signal by which Python would."""
        if workers := self.loader._iterator:  # of persistent workers alone; torch has no other way
            workers._shutdown_workers()  # type: ignore[attr-defined]

    def epoch(self, epoch: int = 0, skipped: int = 0) -> Iterator[Item]:
        """Yield the batches of one epoch after the first `skipped`; the same number gives the same again."""
        self.sampler.epoch, self.sampler.skipped = epoch, skipped
        return iter(self.loader)


def timed(batches: Iterator[Item]) -> Iterator[tuple[Item, float]]:
    """Yield each batch with the seconds spent waiting for it."""
    requested = time.perf_counter()
    for batch in batches:
        yield batch, time.perf_counter() - requested
        requested = time.perf_counter()
