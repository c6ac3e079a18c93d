import numpy as np
import pytest
from numpy.random import SeedSequence
from numpy.typing import NDArray
from projects import DEFAULTS

from segmentation.common.geometry import Geometry
from segmentation.training.augmentation import Augmentation

IMAGE = np.random.default_rng(0).integers(1, 256, (64, 64, 3), dtype=np.uint8)
MASK = (IMAGE[..., 0] > 128).astype(np.uint8)


def changes(**settings: object) -> Augmentation:
    """These changes and no others."""
    nothing = {"affine": 0.0, "flip": 0.0, "color": 0.0}
    return Augmentation(DEFAULTS.augment.model_copy(update={**nothing, **settings}), Geometry(64))


def square(size: int = 201, half: int = 20) -> NDArray[np.uint8]:
    mask = np.zeros((size, size), np.uint8)
    mask[size // 2 - half : size // 2 + half + 1, size // 2 - half : size // 2 + half + 1] = 1
    return mask


def test_without_changes_all_stays_as_it_is() -> None:
    image, mask = changes()(IMAGE, MASK, SeedSequence(0))
    assert (image == IMAGE).all() and (mask == MASK).all()


@pytest.mark.parametrize("border", ["black", "reflect"])
def test_affine_and_flip_move_image_and_mask_alike(border: str) -> None:
    transform = changes(affine=1.0, flip=0.5, border=border, shear=8.0, scale=[0.7, 1.4])
    mask = np.zeros((64, 64), np.uint8)
    mask[20:40, 10:50] = 1
    image = np.repeat(mask[..., None] * 255, 3, axis=2)
    for seed in range(20):
        changed, changed_mask = transform(image, mask, SeedSequence(seed))
        assert ((changed[..., 0] > 127) != changed_mask).mean() < 0.02
        assert set(np.unique(changed_mask)) <= {0, 1}


def test_affine_has_the_lab_reports_range() -> None:
    transform, mask = changes(affine=1.0), square()
    areas, shifts = [], []
    for seed in range(300):
        _, changed = transform(np.zeros((201, 201, 3), np.uint8), mask, SeedSequence(seed))
        areas.append(changed.sum() / mask.sum())
        shifts.append(np.abs(np.mean(np.nonzero(changed), axis=1) - 100).max() / 201)
    assert 0.62 < min(areas) < 0.72 and 1.3 < max(areas) < 1.46  # 0.8 and 1.2 in both directions
    assert 0.08 < max(shifts) < 0.11


def test_the_scale_is_that_of_the_settings() -> None:
    mask = square()
    for low, high in ([0.5, 0.5], [1.0, 1.0], [1.5, 1.5]):
        _, changed = changes(affine=1.0, scale=[low, high])(
            np.zeros((201, 201, 3), np.uint8), mask, SeedSequence(3)
        )
        assert changed.sum() / mask.sum() == pytest.approx(low * high, rel=0.06)


def test_a_border_is_black_or_the_image_mirrored() -> None:
    # No pixel of the image is black, and half of it is foreground.
    for border, some in (("black", True), ("reflect", False)):
        image, _ = changes(affine=1.0, scale=[0.5, 0.5], border=border)(IMAGE, MASK, SeedSequence(1))
        assert (image == 0).all(axis=2).any() == some


def test_shear_slants() -> None:
    mask = square()
    straight = changes(affine=1.0, scale=[1.0, 1.0])
    slanted = changes(affine=1.0, scale=[1.0, 1.0], shear=30.0)
    image = np.zeros((201, 201, 3), np.uint8)

    def longest_diagonal(changed: NDArray[np.uint8]) -> float:
        points = np.argwhere(changed)
        return float(np.linalg.norm(points - points.mean(axis=0), axis=1).max())

    assert max(longest_diagonal(straight(image, mask, SeedSequence(seed))[1]) for seed in range(20)) < 31
    assert max(longest_diagonal(slanted(image, mask, SeedSequence(seed))[1]) for seed in range(20)) > 34


def test_color_changes_the_image_alone_and_within_its_strength() -> None:
    grey = np.full((8, 8, 3), 100, np.uint8)
    found = set()
    for seed in range(50):
        image, mask = changes(color=0.3)(grey, MASK[:8, :8], SeedSequence(seed))
        assert (mask == MASK[:8, :8]).all()
        found.add(int(image[0, 0, 0]))
    assert len(found) > 20 and 69 <= min(found) < 80 and 120 < max(found) <= 131


def test_the_seed_decides() -> None:
    transform = changes(affine=0.9, flip=0.5, color=0.3)
    first = [transform(IMAGE, MASK, SeedSequence(seed))[0] for seed in (1, 2)]
    again = [transform(IMAGE, MASK, SeedSequence(seed))[0] for seed in (2, 1)]
    assert (first[0] == again[1]).all() and (first[1] == again[0]).all() and (first[0] != first[1]).any()


def test_flip_and_affine_are_drawn_independently() -> None:
    """Of 400 images, each of the four combinations is a fourth; before, one never came without the other."""
    transform = changes(affine=0.5, flip=0.5, scale=[1.0, 1.0])
    mask = np.zeros((64, 64), np.uint8)
    mask[8:20, 6:30] = 1  # in the left upper corner: a flip moves it to the right
    image = np.zeros((64, 64, 3), np.uint8)
    counts = {(flipped, moved): 0 for flipped in (False, True) for moved in (False, True)}
    for seed in range(400):
        _, found = transform(image, mask, SeedSequence(seed))
        flipped = bool(np.mean(np.nonzero(found)[1]) > 32)
        moved = not any((found == each).all() for each in (mask, mask[:, ::-1]))
        counts[flipped, moved] += 1
    assert all(70 <= count <= 130 for count in counts.values()), counts  # 100 and 3.5 deviations


def test_continuous_changes_are_not_correlated() -> None:
    transform = changes(affine=1.0, color=0.3, scale=[1.0, 1.0])
    image = np.full((64, 64, 3), 100, np.uint8)
    mask = square(64, 8)
    drawn = []
    for seed in range(300):
        changed, found = transform(image, mask, SeedSequence(seed))
        down, across = np.mean(np.nonzero(found), axis=1)
        drawn.append((down, across, np.median(changed[..., 0])))
    correlation = np.corrcoef(np.array(drawn), rowvar=False)
    assert np.abs(correlation[np.triu_indices(3, 1)]).max() < 0.2  # 3.5 deviations; before, 1.00
