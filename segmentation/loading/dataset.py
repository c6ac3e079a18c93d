"""Images and masks of a dataset at network size."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from segmentation.common.dataset_layout import image_path, trimap_path
from segmentation.common.errors import InputError
from segmentation.common.geometry import Geometry, Image, Mask
from segmentation.common.image_io import foreground_mask, read_image, read_trimap
from segmentation.common.seeds import Purpose, stream
from segmentation.loading.cache import ImageCache
from segmentation.loading.transforms import to_tensor

Key = tuple[int, int]  # epoch and index in the list of ids
AugmentFunction = Callable[[Image, Mask, np.random.SeedSequence], tuple[Image, Mask]]
# Image (3, H, W), mask (1, H, W), both uint8, the mask 0 or 1; and the index (), int64. Or a batch of them.
Item = tuple[Tensor, Tensor, Tensor]


class SegmentationDataset(Dataset[Item]):
    """The images `ids` of the dataset folder `raw`, as a network sees them by `geometry`.

    A `cache` saves decoding and resizing them again. With `augment`, each item is changed at random by a
    stream that depends on `seed`, the epoch and the index alone: not on the number of workers, nor on what
    was drawn before. Raises `InputError` if a file is missing.
    """

    def __init__(
        self,
        raw: Path,
        ids: Sequence[str],
        geometry: Geometry,
        foreground: Sequence[str],
        augment: AugmentFunction | None = None,
        seed: int = 0,
        cache: ImageCache | None = None,
    ) -> None:
        self.raw, self.ids, self.geometry, self.foreground = raw, ids, geometry, foreground
        self.augment, self.seed, self.cache = augment, seed, cache
        for image_id in ids:
            for path in (image_path(raw, image_id), trimap_path(raw, image_id)):
                if not path.is_file():
                    raise InputError(f"{path}: no such file, but the split names it; run `dvc repro split`")

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, key: Key) -> Item:
        epoch, index = key
        image, mask = self.read(index)
        if self.augment:
            image, mask = self.augment(image, mask, stream(Purpose.AUGMENTATION, self.seed, epoch, index))
        return to_tensor(image), torch.from_numpy(mask)[None], torch.tensor(index)

    def read(self, index: int) -> tuple[Image, Mask]:
        """Return the image `(size, size, 3)` and mask `(size, size)` at `index`, not augmented."""
        return self.cache.get(index, self._decode) if self.cache else self._decode(index)

    def read_mask(self, index: int) -> Mask:
        """Return the mask `(size, size)` at `index`, 0 or 1."""
        return self.cache.get(index, self._decode)[1] if self.cache else self._decode_mask(index)

    def _decode(self, index: int) -> tuple[Image, Mask]:
        image = read_image(image_path(self.raw, self.ids[index]))
        return self.geometry.to_network(image), self._decode_mask(index)

    def _decode_mask(self, index: int) -> Mask:
        trimap = read_trimap(trimap_path(self.raw, self.ids[index]))
        return self.geometry.mask_to_network(foreground_mask(trimap, self.foreground))
