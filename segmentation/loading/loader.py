"""A dataset in batches: which images each process takes, in which order."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Sampler

from segmentation.common.cores import usable_cores
from segmentation.common.signals import ignore
from segmentation.loading.dataset import Key, Pair, SegmentationDataset
from segmentation.runtime.distributed import local_world_size, rank, world_size


def loader_workers(device: torch.device) -> int:
    """Return how many processes prepare images: few on a CPU, whose cores the network needs itself.

    On two cores none: there a worker cost the network more than it gained (0.8 times the speed).
    """
    cores = usable_cores() // local_world_size()
    return min(4, cores // 4) if device.type == "cpu" else min(8, cores)


class EpochSampler(Sampler[list[Key]]):
    """Yields batches of (epoch, index), this process' share of them: every index once an epoch.

    In list order for scoring: whole batches are dealt out to the processes in turn. Shuffled by seed and
    epoch for training: the images of each batch are, so that all processes take every step together.
    """

    def __init__(self, count: int, batch_size: int, shuffle_seed: int | None = None) -> None:
        self.count, self.batch_size, self.shuffle_seed = count, batch_size, shuffle_seed
        self.epoch, self.skipped = 0, 0

    def __len__(self) -> int:
        return len(self._shares(np.arange(self.count)))

    def __iter__(self) -> Iterator[list[Key]]:
        order = np.arange(self.count)
        if self.shuffle_seed is not None:
            np.random.default_rng([self.shuffle_seed, self.epoch]).shuffle(order)
        shares = self._shares(order)[self.skipped :]
        return iter([[(self.epoch, int(index)) for index in share] for share in shares])

    def _shares(self, order: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        starts = list(range(0, self.count, self.batch_size))
        if self.shuffle_seed is None:
            return np.split(order, starts[1:])[rank() :: world_size()]
        if len(starts) > 1 and self.count - starts[-1] < world_size():
            starts.pop()  # too few for one image a process: they join the batch before
        return [batch[rank() :: world_size()] for batch in np.split(order, starts[1:])]


class Batches:
    """A dataset in batches: images `(N, 3, H, W)` and masks `(N, 1, H, W)`, uint8."""

    def __init__(
        self, dataset: SegmentationDataset, batch_size: int, shuffle_seed: int | None = None, workers: int = 0
    ) -> None:
        self.dataset = dataset
        self.sampler = EpochSampler(len(dataset), batch_size, shuffle_seed)
        self.loader = DataLoader(
            dataset,
            batch_sampler=self.sampler,
            num_workers=workers,
            persistent_workers=workers > 0,
            worker_init_fn=ignore,  # a signal to the whole group is handled by the process that trains
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # leaves the global stream to dropout alone
        )

    def __len__(self) -> int:
        return len(self.loader)

    def epoch(self, epoch: int, skipped: int = 0) -> Iterator[Pair]:
        """Yield the batches of one epoch after the first `skipped`; the same number gives the same again."""
        self.sampler.epoch, self.sampler.skipped = epoch, skipped
        return iter(self.loader)
