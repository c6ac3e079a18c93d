"""Images and masks of a dataset as a network sees them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from segmentation.common.cores import usable_cores
from segmentation.common.dataset_layout import image_path, trimap_path
from segmentation.common.errors import InputError
from segmentation.common.geometry import IGNORED, Geometry, Image, Mask
from segmentation.common.image_io import foreground_mask, image_size, read_image, read_trimap
from segmentation.loading.cache import ImageCache

Key = tuple[int, int]  # epoch and index in the dataset
# Image (3, H, W), mask (1, H, W), both uint8, the mask 0, 1 or IGNORED; and the index (), int64. Or a batch.
Item = tuple[Tensor, Tensor, Tensor]


class SegmentationDataset(Dataset[Item]):
    """The images `ids` of the dataset folder `raw`, as a network sees them by `geometry`.

    Each is whole, filled up to a window where it is smaller. A `cache` saves decoding and resizing it again.
    Raises `InputError` if a file is missing.
    """

    cache: ImageCache | None = None

    def __init__(self, raw: Path, ids: Sequence[str], geometry: Geometry, foreground: Sequence[str]) -> None:
        self.raw, self.ids, self.geometry, self.foreground = raw, ids, geometry, foreground
        for image_id in ids:
            for path in (image_path(raw, image_id), trimap_path(raw, image_id)):
                if not path.is_file():
                    raise InputError(f"{path}: no such file, but the split names it; run `dvc repro split`")

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, key: Key) -> Item:
        image, mask = self.read(key[1])
        filled = self.geometry.filled
        return to_item(filled(image, self.geometry.fill), filled(mask, IGNORED), key[1])

    def read(self, index: int) -> tuple[Image, Mask]:
        """Return the image `(H, W, 3)` and mask `(H, W)` at `index`, not to be changed."""
        return self.cache.get(index, self._decode) if self.cache else self._decode(index)

    def read_mask(self, index: int) -> Mask:
        """Return the mask `(H, W)` at `index`, 0 or 1, not to be changed."""
        return self.cache.get(index, self._decode)[1] if self.cache else self._decode_mask(index)

    @cached_property
    def shapes(self) -> list[tuple[int, int]]:
        """Height and width of each image as networks see it, in pixels; files are opened, not decoded."""
        if self.geometry.fit == "stretch":  # opening thousands of files would take seconds
            return [self.geometry.network_shape(1, 1)] * len(self)
        with ThreadPoolExecutor(usable_cores()) as pool:
            sizes = pool.map(image_size, (image_path(self.raw, image_id) for image_id in self.ids))
            return [self.geometry.network_shape(height, width) for width, height in sizes]

    def _decode(self, index: int) -> tuple[Image, Mask]:
        image = read_image(image_path(self.raw, self.ids[index]))
        return self.geometry.to_network(image), self._decode_mask(index)

    def _decode_mask(self, index: int) -> Mask:
        trimap = read_trimap(trimap_path(self.raw, self.ids[index]))
        return self.geometry.mask_to_network(foreground_mask(trimap, self.foreground))


def to_item(image: Image, mask: Mask, index: int) -> Item:
    """Return an image `(H, W, 3)`, its mask `(H, W)` and its index as tensors."""
    channels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    return channels, torch.from_numpy(mask.copy())[None], torch.tensor(index)
