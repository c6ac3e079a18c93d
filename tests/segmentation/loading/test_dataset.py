from pathlib import Path

import pytest
import torch
from projects import DEFAULTS

from segmentation.common import dataset_layout as layout
from segmentation.common.errors import InputError
from segmentation.common.geometry import Geometry
from segmentation.common.image_io import read_image, read_trimap
from segmentation.loading.dataset import SegmentationDataset
from segmentation.training.augmentation import Augmentation
from segmentation.training.crops import TrainingCrops

FOREGROUND = ["pet", "border"]


@pytest.fixture(scope="module")
def ids(sample: Path) -> list[str]:
    return layout.read_list(sample / layout.TRAINVAL)[:12]


def augmented(sample: Path, ids: list[str], seed: int = 0) -> TrainingCrops:
    geometry = Geometry(48)
    changes = Augmentation(DEFAULTS.augment.model_copy(update={"affine": 0.5, "flip": 0.5}), geometry)
    return TrainingCrops(SegmentationDataset(sample, ids, geometry, FOREGROUND), changes, seed)


def test_an_item_is_the_resized_image_and_mask(sample: Path, ids: list[str]) -> None:
    image, mask, index = SegmentationDataset(sample, ids, Geometry(48), FOREGROUND)[0, 3]
    assert index == 3
    assert image.shape == (3, 48, 48) and mask.shape == (1, 48, 48)
    assert image.dtype == mask.dtype == torch.uint8 and set(mask.unique().tolist()) == {0, 1}
    original = read_image(layout.image_path(sample, ids[3]))
    trimap = read_trimap(layout.trimap_path(sample, ids[3]))
    assert image.float().mean() == pytest.approx(original.mean(), rel=0.02)
    assert mask.float().mean() == pytest.approx((trimap != layout.BACKGROUND).mean(), abs=0.02)


def test_the_parts_of_the_foreground_add_up(sample: Path, ids: list[str]) -> None:
    masks = {
        part: SegmentationDataset(sample, ids, Geometry(48), [part]).read_mask(0)
        for part in ("pet", "border", "background")
    }
    both = SegmentationDataset(sample, ids, Geometry(48), FOREGROUND).read_mask(0)
    # A pixel that three parts share may be half covered by none of them.
    assert not (masks["pet"] & masks["border"]).any() and (masks["pet"] | masks["border"] <= both).all()
    assert (both + masks["background"] == 1).all()
    assert masks["border"].any() and masks["pet"].any()


def test_augmentation_differs_between_items_and_epochs_and_repeats(sample: Path, ids: list[str]) -> None:
    # The same image at every index: only the augmentation differs.
    dataset = augmented(sample, [ids[0]] * 40)
    first = torch.stack([dataset[1, i][0] for i in range(40)])
    again = torch.stack([augmented(sample, [ids[0]] * 40)[1, i][0] for i in reversed(range(40))]).flip(0)
    second = torch.stack([dataset[2, i][0] for i in range(40)])
    assert (first == again).all()
    kinds = len({image.numpy().tobytes() for image in first})
    assert 11 <= kinds <= 33  # a fourth stays unchanged, a fourth is only flipped: 22, and 3.5 deviations
    assert sum((a == b).all().item() for a, b in zip(first, second, strict=True)) < 20
    other = torch.stack([augmented(sample, [ids[0]] * 40, seed=1)[1, i][0] for i in range(40)])
    assert not (first == other).all()


def test_a_missing_file_is_named_before_any_work(sample: Path, ids: list[str]) -> None:
    with pytest.raises(InputError, match=r"nobody\.jpg: no such file"):
        SegmentationDataset(sample, [*ids, "nobody"], Geometry(48), FOREGROUND)
