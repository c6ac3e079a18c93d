"""Pictures and masks at network size, and the random changes of the training pictures."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from stages.segmentation.errors import InputError
from stages.segmentation.layout import image_path, trimap_path
from stages.segmentation.pictures import foreground_mask, read_image, read_trimap

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the network at import
import albumentations as A

cv2.setNumThreads(0)  # the loader's processes are the parallelism; OpenCV's threads would fight them

Key = tuple[int, int]  # epoch and position in the list
Pair = tuple[Tensor, Tensor]  # picture (3, H, W) and mask (1, H, W), both uint8; the mask is 0 or 1


def augmentation(affine: float, flip: float) -> A.Compose:
    """Return the random changes: the report's affine and a left-right flip, with these probabilities.

    Every argument is spelt out, because the library's defaults change between releases.
    """
    return A.Compose(
        [
            A.Affine(
                scale={"x": (0.8, 1.2), "y": (0.8, 1.2)},
                translate_percent={"x": (-0.1, 0.1), "y": (-0.1, 0.1)},
                rotate=(-30, 30),
                shear={"x": (0, 0), "y": (0, 0)},
                interpolation=cv2.INTER_LINEAR,
                mask_interpolation=cv2.INTER_NEAREST,
                fit_output=False,
                keep_ratio=False,  # x and y are scaled independently
                rotate_method="largest_box",
                balanced_scale=False,
                border_mode=cv2.BORDER_CONSTANT,
                fill=0,
                fill_mask=0,
                p=affine,
            ),
            A.HorizontalFlip(p=flip),
        ]
    )


class SegmentationDataset(Dataset[Pair]):
    """The pictures `ids` of the dataset folder `raw`, squashed to a square of `size` pixels.

    Pictures are resized bilinearly without antialiasing and masks to the nearest pixel, as in the
    report. With a `transform`, each item is changed at random by a stream that depends on `seed`, the
    epoch and the position alone: not on the number of workers, nor on what was drawn before.
    Raises `InputError` where a file is missing.
    """

    def __init__(
        self,
        raw: Path,
        ids: Sequence[str],
        size: int,
        foreground: Sequence[str],
        transform: A.Compose | None = None,
        seed: int = 0,
    ) -> None:
        self.raw, self.ids, self.size, self.foreground = raw, ids, size, foreground
        self.transform, self.seed = transform, seed
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
            self.transform.set_random_seed(int(stream.generate_state(1)[0]))
            changed = self.transform(image=image, mask=mask)
            image, mask = changed["image"], changed["mask"]
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))), torch.from_numpy(mask)[None]

    def read(self, position: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return picture `(size, size, 3)` and mask `(size, size)` at `position`, unchanged but resized."""
        image = read_image(image_path(self.raw, self.ids[position]))
        resized = cv2.resize(image, (self.size, self.size), interpolation=cv2.INTER_LINEAR)
        return resized.astype(np.uint8, copy=False), self.read_mask(position)

    def read_mask(self, position: int) -> NDArray[np.uint8]:
        """Return the mask `(size, size)` at `position`, 0 or 1."""
        mask = foreground_mask(read_trimap(trimap_path(self.raw, self.ids[position])), self.foreground)
        resized = cv2.resize(mask, (self.size, self.size), interpolation=cv2.INTER_NEAREST)
        return resized.astype(np.uint8, copy=False)


class EpochSampler(Sampler[Key]):
    """Yields (epoch, position) for every position: in list order, or shuffled by seed and epoch."""

    def __init__(self, count: int, shuffle_seed: int | None = None) -> None:
        self.count, self.shuffle_seed, self.epoch = count, shuffle_seed, 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Key]:
        order = np.arange(self.count)
        if self.shuffle_seed is not None:
            np.random.default_rng([self.shuffle_seed, self.epoch]).shuffle(order)
        return iter([(self.epoch, int(position)) for position in order])


class Batches:
    """A dataset in batches: pictures `(N, 3, H, W)` and masks `(N, 1, H, W)`, uint8."""

    def __init__(
        self, dataset: SegmentationDataset, batch_size: int, shuffle_seed: int | None = None, workers: int = 0
    ) -> None:
        self.dataset = dataset
        self.sampler = EpochSampler(len(dataset), shuffle_seed)
        self.loader = DataLoader(
            dataset,
            batch_size,
            sampler=self.sampler,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # the global stream is left to dropout alone
        )

    def __len__(self) -> int:
        return len(self.loader)

    def epoch(self, epoch: int) -> Iterator[Pair]:
        """Yield the batches of one epoch; a number below that of the last one repeats it exactly."""
        self.sampler.epoch = epoch
        return iter(self.loader)
