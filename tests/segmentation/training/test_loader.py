import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from on_a_small_disk import mounts_work
from projects import DEFAULTS, ROOT
from torch import Tensor

from segmentation.common.cores import usable_cores
from segmentation.common.dataset_layout import TRAINVAL, read_list
from segmentation.common.geometry import Geometry
from segmentation.loading.dataset import SegmentationDataset
from segmentation.training.augmentation import Augmentation
from segmentation.training.crops import TrainingCrops
from segmentation.training.loader import Batches, BatchSampler

FOREGROUND = ["pet", "border"]


@pytest.fixture(scope="module")
def ids(sample: Path) -> list[str]:
    return read_list(sample / TRAINVAL)[:12]


def augmented(sample: Path, ids: list[str]) -> TrainingCrops:
    geometry = Geometry(48)
    changes = Augmentation(DEFAULTS.augment.model_copy(update={"affine": 0.5, "flip": 0.5}), geometry)
    return TrainingCrops(SegmentationDataset(sample, ids, geometry, FOREGROUND), changes)


def images_of(batches: Batches[Any], epoch: int) -> list[Tensor]:
    """The images of an epoch, one by one."""
    return [image for images, _, _ in batches.epoch(epoch) for image in images]


@pytest.mark.parametrize("workers", [1, 2])
def test_augmentation_does_not_depend_on_the_number_of_workers(
    sample: Path, ids: list[str], workers: int
) -> None:
    alone = Batches(augmented(sample, ids), 2)
    shared = Batches(augmented(sample, ids), 2, workers=workers)
    seen = []
    for epoch in (1, 2, 3):  # the same worker processes serve all epochs
        expected, found = images_of(alone, epoch), images_of(shared, epoch)
        assert all((a == b).all() for a, b in zip(expected, found, strict=True))
        seen.append(torch.stack(found))
    assert not (seen[0] == seen[1]).all() and not (seen[1] == seen[2]).all()


def test_augmentation_differs_between_workers(sample: Path, ids: list[str]) -> None:
    # With two workers and batches of 1, one worker takes the even indices and the other the odd ones.
    images = images_of(Batches(augmented(sample, [ids[0]] * 40), 1, workers=2), 1)
    assert not all((a == b).all() for a, b in zip(images[::2], images[1::2], strict=True))


def test_each_image_once_per_epoch_in_another_order(sample: Path, ids: list[str]) -> None:
    batches = Batches(SegmentationDataset(sample, ids, Geometry(48), FOREGROUND), 5, shuffle_seed=0)
    plain = images_of(Batches(SegmentationDataset(sample, ids, Geometry(48), FOREGROUND), 5), 0)
    orders = []
    for epoch in (1, 2, 1):
        images = images_of(batches, epoch)
        orders.append([next(i for i, p in enumerate(plain) if (p == image).all()) for image in images])
        assert sorted(orders[-1]) == list(range(12))
    assert orders[0] != orders[1] and orders[0] == orders[2] and len(batches) == 3


def dealt(
    monkeypatch: pytest.MonkeyPatch,
    rank: int,
    world_size: int,
    count: int,
    seed: int | None,
) -> list[list[int]]:
    """The batches of indices that one of several processes would take."""
    monkeypatch.setattr("segmentation.training.loader.rank", lambda: rank)
    monkeypatch.setattr("segmentation.training.loader.world_size", lambda: world_size)
    sampler = BatchSampler(count, 8, seed)
    batches = [[index for _, index in batch] for batch in sampler]
    assert len(batches) == len(sampler)
    return batches


@pytest.mark.parametrize("count", [32, 29, 33, 8, 3])
def test_processes_share_each_training_batch(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    whole = dealt(monkeypatch, 0, 1, count, 0)
    shares = [dealt(monkeypatch, rank, 3, count, 0) for rank in range(3)]
    together = [sorted(itertools.chain(*parts)) for parts in zip(*shares, strict=True)]
    assert all(part for each in shares for part in each)
    if count == 33:  # one image is left for three processes: it joins the batch before
        whole[-2:] = [whole[-2] + whole[-1]]
    assert together == [sorted(batch) for batch in whole]


@pytest.mark.parametrize("count", [32, 29, 5])
def test_processes_score_each_image_once(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    whole = dealt(monkeypatch, 0, 1, count, None)
    assert list(itertools.chain(*whole)) == list(range(count))
    shares = [dealt(monkeypatch, rank, 3, count, None) for rank in range(3)]
    assert sorted(itertools.chain(*shares)) == whole  # batches stay whole


def test_batches_carry_their_indices(sample: Path, ids: list[str]) -> None:
    data = SegmentationDataset(sample, ids, Geometry(48), FOREGROUND)
    plain = images_of(Batches(data, 5), 0)
    for images, _, indices in Batches(data, 5, shuffle_seed=0).epoch(1):
        assert all((image == plain[index]).all() for image, index in zip(images, indices, strict=True))


IN_LITTLE_SHARED_MEMORY = """
import sys, torch
from pathlib import Path
from segmentation.common.dataset_layout import TRAINVAL, read_list
from segmentation.common.geometry import Geometry
from segmentation.loading.cache import make_caches
from segmentation.loading.dataset import SegmentationDataset
from segmentation.training.loader import Batches, loader_workers

raw = Path(sys.argv[1])
ids = read_list(raw / TRAINVAL)[:64]
workers = loader_workers(torch.device("cuda"), 8, 128)
(cache,) = make_caches([[(128, 128)] * len(ids)], 10**9)
assert cache  # 4 MB: it needs no room there
images = SegmentationDataset(raw, ids, Geometry(128), ["pet"])
images.cache = cache
batches = Batches(images, 8, workers=workers)
print(workers, [sum(1 for _ in batches.epoch(epoch)) for epoch in (1, 2)])
batches.close()
"""


@pytest.mark.fault("little shared memory (/dev/shm), as in a container")
@pytest.mark.skipif(not mounts_work(), reason="needs mounts in a user namespace")
@pytest.mark.parametrize(("room", "expected"), [("1M", 0), ("2200k", 1), ("64M", 2)])
def test_no_more_workers_than_shared_memory_has_room_for(sample: Path, room: str, expected: int) -> None:
    if usable_cores() < 2:
        pytest.skip("on one core, one process prepares images anyway")
    mount = f'mount -t tmpfs -o size={room} none /dev/shm && exec "$@"'
    command = ["unshare", "-rm", "sh", "-c", mount, "sh", sys.executable, "-c", IN_LITTLE_SHARED_MEMORY]
    cores = sorted(os.sched_getaffinity(0))[:2]
    finished = subprocess.run(
        [*command, str(sample)], cwd=ROOT, capture_output=True, text=True, timeout=120,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    *said, counted = finished.stdout.splitlines()
    assert counted == f"{expected} [8, 8]"
    if expected < 2:
        assert said[0].startswith(f"{expected} instead of 2 processes prepare images: /dev/shm has only")


WITH_A_WORKER = """
import os, signal, sys
from contextlib import closing
from pathlib import Path
import psutil
from segmentation.common.dataset_layout import TRAINVAL, read_list
from segmentation.common.signals import deferred
from segmentation.common.geometry import Geometry
from segmentation.loading.dataset import SegmentationDataset
from segmentation.training.loader import Batches

raw = Path(sys.argv[1])
ids = read_list(raw / TRAINVAL)[:12]
batches = Batches(SegmentationDataset(raw, ids, Geometry(48), ["pet"]), 2, workers=1)
with closing(batches), deferred() as stop:
    images = batches.epoch()
    next(images)
    if sys.argv[2] == "fail":
        raise RuntimeError("while a worker prepares the next batch")
    (worker,) = psutil.Process().children()
    for each in (worker.pid, os.getpid()) if sys.argv[2] == "each" else (0,):
        os.kill(each, signal.SIGTERM)
    print(sum(1 for _ in images), stop.signum)
"""


def run_with_a_worker(sample: Path, what: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", WITH_A_WORKER, str(sample), what]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, start_new_session=True
    )


def test_a_process_that_fails_takes_its_workers_along(sample: Path) -> None:
    finished = run_with_a_worker(sample, "fail")  # in time
    assert finished.returncode == 1 and "while a worker prepares" in finished.stderr


@pytest.mark.parametrize("to", ["the group", "each"])
def test_a_signal_leaves_the_workers_at_work(sample: Path, to: str) -> None:
    finished = run_with_a_worker(sample, to)
    assert finished.returncode == 0 and finished.stdout == "5 15\n", finished.stderr
