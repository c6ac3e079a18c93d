import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from projects import ROOT

from segmentation.common import dataset_layout as layout
from segmentation.common.geometry import Geometry
from segmentation.loading.cache import ImageCache, decoded_bytes, make_caches
from segmentation.loading.dataset import SegmentationDataset
from segmentation.training.loader import Batches

FOREGROUND = ["pet", "border"]


@pytest.mark.parametrize("workers", [0, 2])
def test_each_image_is_decoded_once_by_any_worker(sample: Path, tmp_path: Path, workers: int) -> None:
    ids = layout.read_list(sample / layout.TRAINVAL)[:11]
    raw = tmp_path / "raw"
    shutil.copytree(sample, raw)
    plain = Batches(SegmentationDataset(sample, ids, Geometry(48), FOREGROUND), 2, shuffle_seed=0)
    cache = ImageCache([(48, 48)] * len(ids))
    cached = SegmentationDataset(raw, ids, Geometry(48), FOREGROUND)
    cached.cache = cache
    batches = Batches(cached, 2, shuffle_seed=0, workers=workers)
    for epoch in (1, 2, 3, 4):  # from the second on there is nothing left to decode
        for expected, found in zip(plain.epoch(epoch), batches.epoch(epoch), strict=True):
            assert torch.equal(expected[0], found[0]) and torch.equal(expected[1], found[1])
        if epoch == 1:
            shutil.rmtree(raw)
    assert (
        cached.read_mask(3) == SegmentationDataset(sample, ids, Geometry(48), FOREGROUND).read_mask(3)
    ).all()


SHARED_BY_PROCESSES = """
import json, sys, torch
from pathlib import Path
from segmentation.common.geometry import Geometry
from segmentation.loading.cache import make_caches
from segmentation.loading.dataset import SegmentationDataset
from segmentation.training.loader import Batches
from segmentation.runtime.distributed import all_gather, process_group, rank

raw, out, ids = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
with process_group(torch.device("cpu")):
    (cache,) = make_caches([[(48, 48)] * len(ids)], 10**9)
    data, decoded = SegmentationDataset(raw, ids, Geometry(48), ["pet"]), []
    data.cache = cache
    decode, data._decode = data._decode, lambda index: (decoded.append(index), decode(index))[1]
    for epoch in range(3):
        seen = [batch[2].tolist() for batch in Batches(data, 4, shuffle_seed=0).epoch(epoch)]
        all_gather(None)
    found = all_gather((decoded, seen))
    if rank() == 0:
        out.write_text(json.dumps(found))
"""


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs Linux")
def test_processes_of_a_machine_share_one_cache(sample: Path, tmp_path: Path) -> None:
    ids = layout.read_list(sample / layout.TRAINVAL)[:12]
    (tmp_path / "share.py").write_text(SHARED_BY_PROCESSES)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    arguments = [str(tmp_path / "share.py"), str(sample), str(tmp_path / "found"), *ids]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    finished = subprocess.run([*command, *arguments], env=environment, capture_output=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    (first, seen), (second, others) = json.loads((tmp_path / "found").read_text())
    assert sorted(first + second) == list(range(12))  # in three epochs, each image once, by either
    assert sorted(i for batches in (seen, others) for batch in batches for i in batch) == list(range(12))


def test_without_forks_each_worker_keeps_its_own() -> None:
    cache = ImageCache([(4, 4), (4, 4)])
    cache.get(1, lambda _: (np.full((4, 4, 3), 7, np.uint8), np.ones((4, 4), np.uint8)))
    copy = pickle.loads(pickle.dumps(cache))
    image, _ = copy.get(1, lambda _: (np.full((4, 4, 3), 9, np.uint8), np.ones((4, 4), np.uint8)))
    assert (image == 9).all()


def test_images_may_differ_in_size() -> None:
    shapes = [(4, 7), (1, 1), (300, 2)]
    cache = ImageCache(shapes)
    for expected in (10, 10, 10):  # from the cache the second time
        for index, shape in enumerate(shapes):
            image, mask = cache.get(
                index, lambda i: (np.full((*shapes[i], 3), 10 + i, np.uint8), np.full(shapes[i], i, np.uint8))
            )
            assert image.shape == (*shape, 3) and (image == expected + index).all()
            assert mask.shape == shape and (mask == index).all()


def test_what_an_item_is_changed_into_does_not_stay(sample: Path) -> None:
    ids = layout.read_list(sample / layout.TRAINVAL)[:1]
    data = SegmentationDataset(sample, ids, Geometry(48), FOREGROUND)
    data.cache = ImageCache([(48, 48)])
    image, mask, _ = data[0, 0]
    expected = image.clone(), mask.clone()
    image[:], mask[:] = 0, 0
    assert all(torch.equal(found, wanted) for found, wanted in zip(data[0, 0], expected, strict=False))


def test_the_limit_holds_for_all_caches_together() -> None:
    parts, needed = [[(16, 16)] * 3, [(16, 16)] * 3 + [(8, 32)]], 16 * 16 * 4 * 7
    assert sum(map(decoded_bytes, parts)) == needed
    assert all(make_caches(parts, needed))
    assert make_caches(parts, needed - 1) == [None, None]
