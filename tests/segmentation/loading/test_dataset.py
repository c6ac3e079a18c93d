import itertools
from pathlib import Path

import pytest
import torch
from conftest import DEFAULTS
from torch import Tensor

from segmentation.common import dataset_layout as layout
from segmentation.common.dataset_layout import TRAINVAL, read_list
from segmentation.common.errors import InputError
from segmentation.common.image_io import read_image, read_trimap
from segmentation.loading.dataset import Batches, EpochSampler, SegmentationDataset
from segmentation.training.augmentation import Augmentation

FOREGROUND = ["pet", "border"]


@pytest.fixture(scope="module")
def ids(sample: Path) -> list[str]:
    return read_list(sample / TRAINVAL)[:12]


def augmented(sample: Path, ids: list[str], seed: int = 0) -> SegmentationDataset:
    changes = Augmentation(DEFAULTS.augment.model_copy(update={"affine": 0.5, "flip": 0.5}))
    return SegmentationDataset(sample, ids, 48, FOREGROUND, changes, seed)


def by_position(batches: Batches, epoch: int) -> list[Tensor]:
    """The pictures of an epoch that is not shuffled, one by one."""
    return [image for images, _ in batches.epoch(epoch) for image in images]


def test_an_item_is_the_resized_picture_and_mask(sample: Path, ids: list[str]) -> None:
    image, mask = SegmentationDataset(sample, ids, 48, FOREGROUND)[0, 3]
    assert image.shape == (3, 48, 48) and mask.shape == (1, 48, 48)
    assert image.dtype == mask.dtype == torch.uint8 and set(mask.unique().tolist()) == {0, 1}
    picture = read_image(layout.image_path(sample, ids[3]))
    trimap = read_trimap(layout.trimap_path(sample, ids[3]))
    assert image.float().mean() == pytest.approx(picture.mean(), rel=0.02)
    assert mask.float().mean() == pytest.approx((trimap != layout.BACKGROUND).mean(), abs=0.02)


def test_the_parts_of_the_foreground_add_up(sample: Path, ids: list[str]) -> None:
    masks = {
        part: SegmentationDataset(sample, ids, 48, [part]).read_mask(0)
        for part in ("pet", "border", "background")
    }
    both = SegmentationDataset(sample, ids, 48, FOREGROUND).read_mask(0)
    assert (masks["pet"] + masks["border"] == both).all() and (both + masks["background"] == 1).all()
    assert masks["border"].any() and masks["pet"].any()


def test_streams_differ_between_items_and_epochs_and_repeat(sample: Path, ids: list[str]) -> None:
    # The same picture at every position: what differs is the augmentation alone.
    dataset = augmented(sample, [ids[0]] * 40)
    first = torch.stack([dataset[1, i][0] for i in range(40)])
    again = torch.stack([augmented(sample, [ids[0]] * 40)[1, i][0] for i in reversed(range(40))]).flip(0)
    second = torch.stack([dataset[2, i][0] for i in range(40)])
    assert (first == again).all()
    kinds = len({image.numpy().tobytes() for image in first})
    assert 15 <= kinds <= 30  # a fourth stays as it is, a fourth is flipped alone
    assert sum((a == b).all().item() for a, b in zip(first, second, strict=True)) < 15
    other = torch.stack([augmented(sample, [ids[0]] * 40, seed=1)[1, i][0] for i in range(40)])
    assert not (first == other).all()


@pytest.mark.parametrize("workers", [1, 2])
def test_streams_do_not_depend_on_the_number_of_workers(sample: Path, ids: list[str], workers: int) -> None:
    alone = Batches(augmented(sample, ids), 2)
    shared = Batches(augmented(sample, ids), 2, workers=workers)
    seen = []
    for epoch in (1, 2, 3):  # the same worker processes serve all epochs
        expected, found = by_position(alone, epoch), by_position(shared, epoch)
        assert all((a == b).all() for a, b in zip(expected, found, strict=True))
        seen.append(torch.stack(found))
    assert not (seen[0] == seen[1]).all() and not (seen[1] == seen[2]).all()


def test_streams_differ_between_workers(sample: Path, ids: list[str]) -> None:
    # With two workers and batches of 1, even positions are one worker's and odd ones the other's.
    images = by_position(Batches(augmented(sample, [ids[0]] * 40), 1, workers=2), 1)
    assert not all((a == b).all() for a, b in zip(images[::2], images[1::2], strict=True))


def test_each_picture_once_per_epoch_in_another_order(sample: Path, ids: list[str]) -> None:
    batches = Batches(SegmentationDataset(sample, ids, 48, FOREGROUND), 5, shuffle_seed=0)
    plain = by_position(Batches(SegmentationDataset(sample, ids, 48, FOREGROUND), 5), 0)
    orders = []
    for epoch in (1, 2, 1):
        images = by_position(batches, epoch)
        orders.append([next(i for i, p in enumerate(plain) if (p == image).all()) for image in images])
        assert sorted(orders[-1]) == list(range(12))
    assert orders[0] != orders[1] and orders[0] == orders[2] and len(batches) == 3


def test_the_global_random_stream_is_left_alone(sample: Path, ids: list[str]) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    by_position(Batches(augmented(sample, ids), 4, shuffle_seed=0, workers=1), 1)
    assert torch.rand(1) == expected


def test_a_missing_file_is_named_before_any_work(sample: Path, ids: list[str]) -> None:
    with pytest.raises(InputError, match=r"nobody\.jpg: no such file"):
        SegmentationDataset(sample, [*ids, "nobody"], 48, FOREGROUND)


def share(monkeypatch: pytest.MonkeyPatch, rank: int, world: int, sampler: EpochSampler) -> list[list[int]]:
    """The batches of positions that one of several processes would take."""
    monkeypatch.setattr("segmentation.loading.dataset.rank", lambda: rank)
    monkeypatch.setattr("segmentation.loading.dataset.world", lambda: world)
    batches = [[position for _, position in batch] for batch in sampler]
    assert len(batches) == len(sampler)
    return batches


@pytest.mark.parametrize("count", [32, 29, 33, 8, 3])
def test_processes_share_each_training_batch(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    whole = share(monkeypatch, 0, 1, EpochSampler(count, 8, shuffle_seed=0))
    shares = [share(monkeypatch, rank, 3, EpochSampler(count, 8, shuffle_seed=0)) for rank in range(3)]
    together = [sorted(itertools.chain(*parts)) for parts in zip(*shares, strict=True)]
    assert all(part for each in shares for part in each)
    if count == 33:  # one picture is left for three processes: it joins the batch before
        whole[-2:] = [whole[-2] + whole[-1]]
    assert together == [sorted(batch) for batch in whole]


@pytest.mark.parametrize("count", [32, 29, 5])
def test_processes_take_turns_at_whole_batches_when_scoring(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    whole = share(monkeypatch, 0, 1, EpochSampler(count, 8))
    shares = [share(monkeypatch, rank, 3, EpochSampler(count, 8)) for rank in range(3)]
    assert [batch for i in range(len(whole)) for batch in [shares[i % 3][i // 3]]] == whole
