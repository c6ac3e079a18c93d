"""Pictures and masks at network size, in batches."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from segmentation.common.errors import InputError
from segmentation.common.dataset_layout import image_path, trimap_path
from segmentation.common.image_io import foreground_mask, read_image, read_trimap
from segmentation.common.signals import ignore
from segmentation.loading.cache import Picture, PictureCache
from segmentation.runtime.distributed import rank, world

cv2.setNumThreads(0)  # the loader's processes are the parallelism; OpenCV's threads would fight them

Key = tuple[int, int]  # epoch and position in the list
Transform = Callable[[NDArray[np.uint8], NDArray[np.uint8], int], Picture]  # picture, mask and seed
Pair = tuple[Tensor, Tensor]  # picture (3, H, W) and mask (1, H, W), both uint8; the mask is 0 or 1


class SegmentationDataset(Dataset[Pair]):
    """The pictures `ids` of the dataset folder `raw`, squashed to a square of `size` pixels.

    Pictures are resized bilinearly without antialiasing and masks to the nearest pixel, as in the
    report; a `cache` spares doing so again. With a `transform`, each item is changed at random by a stream
    that depends on `seed`, the epoch and the position alone: not on the number of workers, nor on what
    was drawn before. Raises `InputError` where a file is missing.
    """

    def __init__(
        self,
        raw: Path,
        ids: Sequence[str],
        size: int,
        foreground: Sequence[str],
        transform: Transform | None = None,
        seed: int = 0,
        cache: PictureCache | None = None,
    ) -> None:
        self.raw, self.ids, self.size, self.foreground = raw, ids, size, foreground
        self.transform, self.seed, self.cache = transform, seed, cache
        for picture_id in ids:
            for path in (image_path(raw, picture_id), trimap_path(raw, picture_id)):
                if not path.is_file():
                    raise InputError(f"{path}: no such file, but the split names it; run `dvc repro split`")

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, key: Key) -> Pair:
        epoch, position = key
        image, mask = self.read(position)
        if self.transform:
            stream = np.random.SeedSequence([self.seed, epoch, position])
            image, mask = self.transform(image, mask, int(stream.generate_state(1)[0]))
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))), torch.from_numpy(mask)[None]

    def read(self, position: int) -> Picture:
        """Return picture `(size, size, 3)` and mask `(size, size)` at `position`, unchanged but resized."""
        return self.cache.get(position, self._decode) if self.cache else self._decode(position)

    def _decode(self, position: int) -> Picture:
        image = read_image(image_path(self.raw, self.ids[position]))
        resized = cv2.resize(image, (self.size, self.size), interpolation=cv2.INTER_LINEAR)
        return resized.astype(np.uint8, copy=False), self._decode_mask(position)

    def read_mask(self, position: int) -> NDArray[np.uint8]:
        """Return the mask `(size, size)` at `position`, 0 or 1."""
        return self.cache.get(position, self._decode)[1] if self.cache else self._decode_mask(position)

    def _decode_mask(self, position: int) -> NDArray[np.uint8]:
        mask = foreground_mask(read_trimap(trimap_path(self.raw, self.ids[position])), self.foreground)
        resized = cv2.resize(mask, (self.size, self.size), interpolation=cv2.INTER_NEAREST)
        return resized.astype(np.uint8, copy=False)


class EpochSampler(Sampler[list[Key]]):
    """Yields batches of (epoch, position), this process' share of them: every position once an epoch.

    In list order for scoring: whole batches are dealt out to the processes in turn. Shuffled by seed and
    epoch for training: the pictures of each batch are, so that all processes take every step together.
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
        return iter([[(self.epoch, int(position)) for position in share] for share in shares])

    def _shares(self, order: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        starts = list(range(0, self.count, self.batch_size))
        if self.shuffle_seed is None:
            return np.split(order, starts[1:])[rank() :: world()]
        if len(starts) > 1 and self.count - starts[-1] < world():
            starts.pop()  # too few for one picture a process: they join the batch before
        return [batch[rank() :: world()] for batch in np.split(order, starts[1:])]


class Batches:
    """A dataset in batches: pictures `(N, 3, H, W)` and masks `(N, 1, H, W)`, uint8."""

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
            worker_init_fn=ignore,  # a signal to all of them is for the process that trains
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # the global stream is left to dropout alone
        )

    def __len__(self) -> int:
        return len(self.loader)

    def epoch(self, epoch: int, skipped: int = 0) -> Iterator[Pair]:
        """Yield the batches of one epoch, but the first `skipped`; the same number gives the same again."""
        self.sampler.epoch, self.sampler.skipped = epoch, skipped
        return iter(self.loader)
