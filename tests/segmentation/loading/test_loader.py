import itertools
from pathlib import Path

import pytest
import torch
from conftest import DEFAULTS
from torch import Tensor

from segmentation.common.dataset_layout import TRAINVAL, read_list
from segmentation.loading.dataset import SegmentationDataset
from segmentation.loading.loader import Batches, ListedBatches, ShuffledBatches
from segmentation.training.augmentation import Augmentation

FOREGROUND = ["pet", "border"]


@pytest.fixture(scope="module")
def ids(sample: Path) -> list[str]:
    return read_list(sample / TRAINVAL)[:12]


def augmented(sample: Path, ids: list[str]) -> SegmentationDataset:
    changes = Augmentation(DEFAULTS.augment.model_copy(update={"affine": 0.5, "flip": 0.5}))
    return SegmentationDataset(sample, ids, 48, FOREGROUND, changes)


def images_of(batches: Batches, epoch: int) -> list[Tensor]:
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
    batches = Batches(SegmentationDataset(sample, ids, 48, FOREGROUND), 5, shuffle_seed=0)
    plain = images_of(Batches(SegmentationDataset(sample, ids, 48, FOREGROUND), 5), 0)
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
    kind: type[ShuffledBatches] | type[ListedBatches],
    *arguments: int,
) -> list[list[int]]:
    """The batches of indices that one of several processes would take."""
    monkeypatch.setattr("segmentation.loading.loader.rank", lambda: rank)
    monkeypatch.setattr("segmentation.loading.loader.world_size", lambda: world_size)
    sampler = kind(*arguments)
    batches = [[index for _, index in batch] for batch in sampler]
    assert len(batches) == len(sampler)
    return batches


@pytest.mark.parametrize("count", [32, 29, 33, 8, 3])
def test_processes_share_each_training_batch(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    whole = dealt(monkeypatch, 0, 1, ShuffledBatches, count, 8, 0)
    shares = [dealt(monkeypatch, rank, 3, ShuffledBatches, count, 8, 0) for rank in range(3)]
    together = [sorted(itertools.chain(*parts)) for parts in zip(*shares, strict=True)]
    assert all(part for each in shares for part in each)
    if count == 33:  # one image is left for three processes: it joins the batch before
        whole[-2:] = [whole[-2] + whole[-1]]
    assert together == [sorted(batch) for batch in whole]


@pytest.mark.parametrize("count", [32, 29, 5])
def test_processes_score_each_image_once(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    whole = dealt(monkeypatch, 0, 1, ListedBatches, count, 8)
    assert list(itertools.chain(*whole)) == list(range(count))
    shares = [dealt(monkeypatch, rank, 3, ListedBatches, count, 8) for rank in range(3)]
    assert sorted(itertools.chain(*shares)) == whole  # batches stay whole


def test_batches_carry_their_indices(sample: Path, ids: list[str]) -> None:
    data = SegmentationDataset(sample, ids, 48, FOREGROUND)
    plain = images_of(Batches(data, 5), 0)
    for images, _, indices in Batches(data, 5, shuffle_seed=0).epoch(1):
        assert all((image == plain[index]).all() for image, index in zip(images, indices, strict=True))
