"""The embedded dataset is well-formed, reproducible, and not solved by anything but shapes."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from content import digest
from numpy.typing import NDArray
from PIL import Image

from segmentation.common.artifacts import RAW
from segmentation.common.dataset_layout import (
    BACKGROUND,
    BORDER,
    IMAGES,
    LIST,
    PET,
    TEST,
    TRAINVAL,
    TRIMAPS,
    image_path,
    trimap_path,
)
from segmentation.params import load_params
from segmentation.sources.sample.generator import draw

Pair = tuple[NDArray[np.uint8], NDArray[np.bool_]]  # RGB and foreground


@pytest.fixture(scope="module")
def scored(sample: Path) -> list[Pair]:
    return _pairs(sample, TEST)


def _rows(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines() if not line.startswith("#")]


def _trimap(folder: Path, image_id: str) -> NDArray[np.uint8]:
    with Image.open(trimap_path(folder, image_id)) as image:
        assert (image.format, image.mode) == ("PNG", "L")
        return np.array(image)


def _pairs(folder: Path, part: Path) -> list[Pair]:
    pairs = []
    for image_id, *_ in _rows(folder / part):
        with Image.open(image_path(folder, image_id)) as image:
            pairs.append((np.array(image), _trimap(folder, image_id) != BACKGROUND))
    return pairs


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): digest(path) for path in files}


def _dice(predicted: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    return float(2 * (predicted & true).sum() / (predicted.sum() + true.sum()))


def _channels(rgb: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Red, green, blue, grey, hue, saturation and value, each (H, W) over 0 to 255."""
    planes = [*np.moveaxis(rgb, 2, 0), cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)]
    return [*planes, *np.moveaxis(cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV_FULL), 2, 0)]


def _dice_below_every_level(
    channel: NDArray[np.uint8], true: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Dice of `channel < t` and of `channel >= t` for t = 0 to 256, from the two histograms."""
    below = np.pad(np.bincount(channel.ravel(), minlength=256).cumsum(), (1, 0))
    hits = np.pad(np.bincount(channel[true], minlength=256).cumsum(), (1, 0))
    size = true.sum()
    return 2 * hits / (below + size), 2 * (size - hits) / (channel.size - below + size)


def test_lists_cover_the_images_once(sample: Path) -> None:
    listed, trainval, test = (_rows(sample / path) for path in (LIST, TRAINVAL, TEST))
    assert (len(trainval), len(test)) == (300, 100)
    assert sorted(trainval + test) == sorted(listed)
    ids = {row[0] for row in listed}
    assert len(ids) == len(listed) == 400
    assert {path.stem for path in (sample / IMAGES).iterdir()} == ids
    assert {path.stem for path in (sample / TRIMAPS).iterdir()} == ids
    assert "#" not in (sample / TRAINVAL).read_text() + (sample / TEST).read_text()
    assert [line[0] == "#" for line in (sample / LIST).read_text().splitlines()[:7]] == [True] * 6 + [False]


def test_lists_name_class_species_and_breed(sample: Path) -> None:
    kinds: dict[str, tuple[str, str, str]] = {}
    for image_id, class_id, species, breed_id in _rows(sample / LIST):
        breed, _, number = image_id.rpartition("_")
        assert number.isdigit()
        assert breed[0].isupper() == (species == "1")  # cats' names begin with a capital
        assert kinds.setdefault(breed, (class_id, species, breed_id)) == (class_id, species, breed_id)
    assert {class_id for class_id, _, _ in kinds.values()} == {str(i + 1) for i in range(len(kinds))}
    assert len({(species, breed_id) for _, species, breed_id in kinds.values()}) == len(kinds)
    assert {species for _, species, _ in kinds.values()} == {"1", "2"}


def test_images_and_trimaps_are_well_formed(sample: Path) -> None:
    sizes = set()
    for image_id, *_ in _rows(sample / LIST):
        with Image.open(image_path(sample, image_id)) as image:
            image.load()
            assert (image.format, image.mode) == ("JPEG", "RGB")
            assert 128 <= max(image.size) <= 200
            assert min(image.size) >= 64
            sizes.add(image.size)
        trimap = _trimap(sample, image_id)
        assert trimap.shape == image.size[::-1]
        assert set(np.unique(trimap)) == {PET, BACKGROUND, BORDER}
        assert 0.05 < (trimap != BACKGROUND).mean() < 0.85
    assert len(sizes) > 100


def test_border_is_a_thin_band_between_pet_and_background(sample: Path) -> None:
    kernel, near, border = np.ones((3, 3), dtype=np.uint8), 0, 0
    for image_id, *_ in _rows(sample / TEST):
        trimap = _trimap(sample, image_id)
        pet, background, band = ((trimap == value).astype(np.uint8) for value in (PET, BACKGROUND, BORDER))
        assert not (cv2.dilate(pet, kernel) & background).any()
        near += int((cv2.dilate(background, kernel, iterations=3) & band).sum())
        border += int(band.sum())
    assert near > 0.95 * border  # the rest fills narrow gaps, as between two legs


def test_the_same_seed_gives_the_same_bytes(sample: Path, finished: Path) -> None:
    """Another process has drawn the other ones: that of the download stage."""
    assert load_params(finished / "params.yaml").data.seed == 0
    assert _digests(finished / RAW) == _digests(sample)


def test_no_two_images_are_equal() -> None:
    drawn = [draw(seed, index) for seed in (0, 1) for index in range(0, 400, 40)]
    assert len({image.tobytes() for image, _ in drawn}) == len({trimap.tobytes() for _, trimap in drawn})
    assert len({image.tobytes() for image, _ in drawn}) == len(drawn) == 20


def test_no_threshold_of_a_channel_finds_the_pets(scored: list[Pair]) -> None:
    dice = np.zeros((7, 2, 257))
    for rgb, true in scored:
        dice += [_dice_below_every_level(channel, true) for channel in _channels(rgb)]
    assert dice.max() / len(scored) < 0.55


def test_otsu_does_not_find_the_pets(scored: list[Pair]) -> None:
    dice = []
    for rgb, true in scored:
        _, bright = cv2.threshold(_channels(rgb)[3], 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
        dice.append((_dice(bright == 1, true), _dice(bright == 0, true)))
    assert np.mean(dice, axis=0).max() < 0.60


def test_mean_training_mask_does_not_find_the_pets(sample: Path, scored: list[Pair]) -> None:
    train = [true.astype(np.float32) for _, true in _pairs(sample, TRAINVAL)]
    mean = np.mean([cv2.resize(mask, (128, 128), interpolation=cv2.INTER_AREA) for mask in train], axis=0)
    guess = (mean > 0.5).astype(np.uint8)
    dice = [
        _dice(cv2.resize(guess, true.shape[::-1], interpolation=cv2.INTER_NEAREST) == 1, true)
        for _, true in scored
    ]
    assert np.mean(dice) < 0.72
