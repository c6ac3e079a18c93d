"""The embedded dataset is well-formed, reproducible, and not solved by anything but shapes."""

import hashlib
import time
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

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
from segmentation.sources.sample.generator import draw, write_sample

Picture = tuple[NDArray[np.uint8], NDArray[np.bool_]]  # RGB and foreground


class Sample(NamedTuple):
    folder: Path
    seconds: float


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    folder = tmp_path_factory.mktemp("sample")
    start = time.perf_counter()
    write_sample(folder, seed=0)
    return Sample(folder, time.perf_counter() - start)


@pytest.fixture(scope="module")
def scored(sample: Sample) -> list[Picture]:
    return _pictures(sample.folder, TEST)


def _rows(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines() if not line.startswith("#")]


def _trimap(folder: Path, picture_id: str) -> NDArray[np.uint8]:
    with Image.open(trimap_path(folder, picture_id)) as image:
        assert (image.format, image.mode) == ("PNG", "L")
        return np.array(image)


def _pictures(folder: Path, part: Path) -> list[Picture]:
    pictures = []
    for picture_id, *_ in _rows(folder / part):
        with Image.open(image_path(folder, picture_id)) as image:
            pictures.append((np.array(image), _trimap(folder, picture_id) != BACKGROUND))
    return pictures


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


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


def test_lists_cover_the_pictures_once(sample: Sample) -> None:
    folder = sample.folder
    listed, trainval, test = (_rows(folder / path) for path in (LIST, TRAINVAL, TEST))
    assert (len(trainval), len(test)) == (300, 100)
    assert sorted(trainval + test) == sorted(listed)
    ids = {row[0] for row in listed}
    assert len(ids) == len(listed) == 400
    assert {path.stem for path in (folder / IMAGES).iterdir()} == ids
    assert {path.stem for path in (folder / TRIMAPS).iterdir()} == ids
    assert "#" not in (folder / TRAINVAL).read_text() + (folder / TEST).read_text()
    assert [line[0] == "#" for line in (folder / LIST).read_text().splitlines()[:7]] == [True] * 6 + [False]


def test_lists_name_class_species_and_breed(sample: Sample) -> None:
    kinds: dict[str, tuple[str, str, str]] = {}
    for picture_id, class_id, species, breed_id in _rows(sample.folder / LIST):
        breed, _, number = picture_id.rpartition("_")
        assert number.isdigit()
        assert breed[0].isupper() == (species == "1")  # cats' names begin with a capital
        assert kinds.setdefault(breed, (class_id, species, breed_id)) == (class_id, species, breed_id)
    assert {class_id for class_id, _, _ in kinds.values()} == {str(i + 1) for i in range(len(kinds))}
    assert len({(species, breed_id) for _, species, breed_id in kinds.values()}) == len(kinds)
    assert {species for _, species, _ in kinds.values()} == {"1", "2"}


def test_pictures_and_trimaps_are_well_formed(sample: Sample) -> None:
    sizes = set()
    for picture_id, *_ in _rows(sample.folder / LIST):
        with Image.open(image_path(sample.folder, picture_id)) as image:
            image.load()
            assert (image.format, image.mode) == ("JPEG", "RGB")
            assert 128 <= max(image.size) <= 200
            assert min(image.size) >= 64
            sizes.add(image.size)
        trimap = _trimap(sample.folder, picture_id)
        assert trimap.shape == image.size[::-1]
        assert set(np.unique(trimap)) == {PET, BACKGROUND, BORDER}
        assert 0.05 < (trimap != BACKGROUND).mean() < 0.85
    assert len(sizes) > 100


def test_border_is_a_thin_band_between_pet_and_background(sample: Sample) -> None:
    kernel, near, border = np.ones((3, 3), dtype=np.uint8), 0, 0
    for picture_id, *_ in _rows(sample.folder / TEST):
        trimap = _trimap(sample.folder, picture_id)
        pet, background, band = ((trimap == value).astype(np.uint8) for value in (PET, BACKGROUND, BORDER))
        assert not (cv2.dilate(pet, kernel) & background).any()
        near += int((cv2.dilate(background, kernel, iterations=3) & band).sum())
        border += int(band.sum())
    assert near > 0.95 * border  # the rest fills narrow gaps, as between two legs


def test_same_seed_gives_the_same_bytes(sample: Sample, tmp_path: Path) -> None:
    write_sample(tmp_path, seed=0)
    assert _digests(tmp_path) == _digests(sample.folder)


def test_every_picture_is_another_one() -> None:
    drawn = [draw(seed, index) for seed in (0, 1) for index in range(0, 400, 40)]
    assert len({picture.tobytes() for picture, _ in drawn}) == len({trimap.tobytes() for _, trimap in drawn})
    assert len({picture.tobytes() for picture, _ in drawn}) == len(drawn) == 20


def test_is_made_in_seconds(sample: Sample) -> None:
    assert sample.seconds < 15


def test_no_threshold_of_a_channel_finds_the_pets(scored: list[Picture]) -> None:
    dice = np.zeros((7, 2, 257))
    for rgb, true in scored:
        dice += [_dice_below_every_level(channel, true) for channel in _channels(rgb)]
    assert dice.max() / len(scored) < 0.60


def test_otsu_does_not_find_the_pets(scored: list[Picture]) -> None:
    dice = []
    for rgb, true in scored:
        _, bright = cv2.threshold(_channels(rgb)[3], 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
        dice.append((_dice(bright == 1, true), _dice(bright == 0, true)))
    assert np.mean(dice, axis=0).max() < 0.60


def test_mean_training_mask_does_not_find_the_pets(sample: Sample, scored: list[Picture]) -> None:
    train = [true.astype(np.float32) for _, true in _pictures(sample.folder, TRAINVAL)]
    mean = np.mean([cv2.resize(mask, (128, 128), interpolation=cv2.INTER_AREA) for mask in train], axis=0)
    guess = (mean > 0.5).astype(np.uint8)
    dice = [
        _dice(cv2.resize(guess, true.shape[::-1], interpolation=cv2.INTER_NEAREST) == 1, true)
        for _, true in scored
    ]
    assert np.mean(dice) < 0.72
