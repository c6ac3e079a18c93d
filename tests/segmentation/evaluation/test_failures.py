"""What false pixels are: each rule on a drawing, and the rules together on random masks."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from segmentation.evaluation.failures import KINDS, failure, failure_table, false_pixels, mask_looks_wrong

SIZE = (100, 100)  # the band is 3 pixels wide


def boxes(*corners: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """A mask of rectangles: top, bottom, left, right."""
    mask = np.zeros(SIZE, np.uint8)
    for top, bottom, left, right in corners:
        mask[top:bottom, left:right] = 1
    return mask


def counted(prediction: NDArray[np.uint8], target: NDArray[np.uint8]) -> dict[str, int]:
    (counts,) = false_pixels([prediction], target).tolist()
    return {kind: count for kind, count in zip(KINDS, counts, strict=True) if count}


PET = (20, 80, 20, 80)
TAIL = (45, 50, 80, 98)
HOLE = (40, 50, 40, 50)
THIN = (90, 92, 10, 30)


def test_each_rule() -> None:
    pet = boxes(PET)
    assert counted(pet, pet) == {}
    assert counted(boxes((21, 79, 21, 79)), pet) == {"boundary": 3600 - 58 * 58}
    assert counted(boxes((18, 82, 18, 82)), pet) == {"boundary": 64 * 64 - 3600}
    assert counted(pet, boxes(PET, THIN)) == {"missed object": 40}  # though it is thinner than the band
    assert counted(boxes(PET, THIN), pet) == {"extra region": 40}
    with_hole = pet.copy()
    with_hole[40:50, 40:50] = 0
    assert counted(with_hole, pet) == {"hole": 100}
    assert counted(pet, with_hole) == {"extra region": 16, "boundary": 84}  # a hole that was filled
    with_tail = boxes(PET, TAIL)  # 5 x 18 pixels: all but its core lies near the contour
    assert counted(pet, with_tail)["boundary"] == 90
    assert counted(pet, boxes(PET, (30, 70, 80, 98))) == {"missed object": 34 * 15, "boundary": 720 - 34 * 15}
    assert counted(boxes(PET, (30, 70, 80, 98)), pet) == {"extra region": 40 * 15, "boundary": 40 * 3}


def test_nothing_or_everything() -> None:
    pet, nothing, everything = boxes(PET), boxes(), boxes((0, 100, 0, 100))
    assert counted(nothing, pet) == {"missed object": 3600}
    assert counted(pet, nothing) == {"extra region": 3600}
    assert counted(everything, nothing) == {"extra region": 10_000}
    assert counted(everything, pet) == {"extra region": 10_000 - 66 * 66, "boundary": 66 * 66 - 3600}


def test_the_boundary_of_thin_structures_is_thin() -> None:
    """Lines 8 pixels wide in an image of 500: 2 % of its diagonal would be 14 pixels to each side."""
    lines = np.zeros((500, 500), np.uint8)
    for left in range(30, 500, 40):
        lines[:, left : left + 8] = 1
    lines[:8] = 1  # all of them are one object
    assert counted(np.roll(lines, 1, axis=1), lines)["boundary"] == 2 * 12 * 492
    half = lines.copy()
    half[250:] = 0
    shares = counted(half, lines)
    assert set(shares) == {"missed object", "boundary"}
    assert shares["missed object"] > 2.5 * shares["boundary"]


def test_a_gap_that_reaches_the_edge_is_no_hole() -> None:
    everything = boxes((0, 100, 0, 100))
    gap = everything.copy()
    gap[:40, 40:60] = 0
    assert counted(gap, everything) == {"missed object": 800}


@pytest.mark.parametrize("seed", range(20))
def test_each_false_pixel_is_of_one_kind(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = (
        (ndimage.gaussian_filter(rng.random((60, 90)), 4) > 0.5).astype(np.uint8) for _ in range(2)
    )
    expected = false_pixels([first, second], second)
    assert expected.sum(axis=1).tolist() == [(first != second).sum(), 0]
    for turn in (np.fliplr, np.flipud):
        one, other = (np.ascontiguousarray(turn(mask)) for mask in (first, second))
        assert (false_pixels([one, other], other) == expected).all()


def test_the_main_kind() -> None:
    assert [failure(each) for each in ([0, 0, 0, 0], [1, 5, 5, 2], [0, 0, 0, 9])] == ["", KINDS[1], KINDS[3]]
    assert failure([1, 0, 0, 0], wrong_mask=True) == "mask looks wrong"


def test_the_lost_dice_is_shared_out() -> None:
    pixels = np.array([[30, 0, 0, 10], [0, 0, 0, 20], [5, 5, 0, 0], [0, 0, 0, 0]])
    dice = np.array([0.6, 0.9, 0.2, 1.0])
    table = failure_table(pixels, dice, np.array([False, False, True, False]))
    assert {kind: row["images"] for kind, row in table.items()} == {
        "missed object": 1, "extra region": 0, "hole": 0, "boundary": 1, "mask looks wrong": 1,
    }  # fmt: skip
    lost = {kind: row["lost_dice"] for kind, row in table.items()}
    assert lost == pytest.approx({
        "missed object": 0.3 / 1.3, "extra region": 0, "hole": 0, "boundary": 0.2 / 1.3,
        "mask looks wrong": 0.8 / 1.3,
    })  # fmt: skip


def test_a_mask_looks_wrong_where_networks_agree_against_it() -> None:
    agreement = np.array([0.95, 0.95, 0.5, 0.95])
    dice = [np.array([0.5, 0.5, 0.5, 0.9]), np.array([0.6, 0.8, 0.5, 0.9])]
    assert mask_looks_wrong(agreement, dice).tolist() == [True, False, False, False]
