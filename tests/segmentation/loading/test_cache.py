import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from segmentation.common import dataset_layout as layout
from segmentation.loading.cache import ImageCache, cached_bytes, make_caches
from segmentation.loading.dataset import SegmentationDataset
from segmentation.loading.loader import Batches

FOREGROUND = ["pet", "border"]


@pytest.mark.parametrize("workers", [0, 2])
def test_each_image_is_decoded_once_by_any_worker(sample: Path, tmp_path: Path, workers: int) -> None:
    ids = layout.read_list(sample / layout.TRAINVAL)[:11]
    raw = tmp_path / "raw"
    shutil.copytree(sample, raw)
    plain = Batches(SegmentationDataset(sample, ids, 48, FOREGROUND), 2, shuffle_seed=0)
    cache = ImageCache(len(ids), 48, shared=workers > 0)
    cached = SegmentationDataset(raw, ids, 48, FOREGROUND, cache=cache)
    batches = Batches(cached, 2, shuffle_seed=0, workers=workers)
    for epoch in (1, 2, 3, 4):  # from the second on there is nothing left to decode
        for expected, found in zip(plain.epoch(epoch), batches.epoch(epoch), strict=True):
            assert torch.equal(expected[0], found[0]) and torch.equal(expected[1], found[1])
        if epoch == 1:
            shutil.rmtree(raw)
    assert (cached.read_mask(3) == SegmentationDataset(sample, ids, 48, FOREGROUND).read_mask(3)).all()


def test_it_returns_copies() -> None:
    cache = ImageCache(1, 4, shared=False)
    for _ in range(2):
        image, mask = cache.get(0, lambda _: (np.full((4, 4, 3), 7, np.uint8), np.ones((4, 4), np.uint8)))
        assert (image == 7).all() and (mask == 1).all()
        image[:], mask[:] = 0, 0


def test_the_limit_holds_for_all_caches_together() -> None:
    size, needed = 16, 16 * 16 * 4 * 7
    assert cached_bytes(7, size) == needed
    assert all(make_caches([3, 4], size, needed, shared=False))
    assert make_caches([3, 4], size, needed - 1, shared=False) == [None, None]
