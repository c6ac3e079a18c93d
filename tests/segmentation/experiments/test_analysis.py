"""Simulated runs: an interval covers what it should, and verdicts are as often wrong as they may be."""

from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from segmentation.experiments.analysis import (
    NARROW,
    Difference,
    compare_with_claim,
    paired_difference,
    seed_difference,
)

TRIALS = 1000


def simulated(
    effect: float, seeds: int, images: int, rng: np.random.Generator, seed: float = 0.006, image: float = 0.05
) -> NDArray[np.floating]:
    """Differences of seeds and images: an effect, deviations of each seed and image, and noise."""
    by_seed = rng.normal(0, seed, (seeds, 1))
    return effect + by_seed + rng.normal(0, image, (1, images)) + rng.normal(0, 0.08, (seeds, images))


@pytest.mark.parametrize(
    ("seeds", "images", "seed", "image"),
    [
        (2, 400, 0.006, 0.05),
        (2, 400, 0.012, 0.0),  # two seeds that are close by chance
        (3, 400, 0.006, 0.05),
        (5, 400, 0.006, 0.05),
        (5, 100, 0.006, 0.05),
        (5, 400, 0.0, 0.05),
        (5, 400, 0.02, 0.0),
    ],
)
def test_the_interval_covers_other_seeds_and_other_images(
    seeds: int, images: int, seed: float, image: float
) -> None:
    rng, effect = np.random.default_rng(0), 0.01
    intervals = [paired_difference(simulated(effect, seeds, images, rng, seed, image)) for _ in range(TRIALS)]
    coverage = np.mean([interval.low <= effect <= interval.high for interval in intervals])
    assert 0.93 <= coverage <= (0.985 if seeds > 2 else 0.995), coverage


def test_an_effect_is_rarely_seen_where_there_is_none_and_mostly_where_there_is() -> None:
    rng = np.random.default_rng(1)
    none = [paired_difference(simulated(0, 5, 400, rng)).verdict for _ in range(TRIALS)]
    wrong = np.mean([verdict in ("better", "worse") for verdict in none])
    assert wrong <= 0.07, wrong
    clear = [paired_difference(simulated(0.03, 5, 400, rng)).verdict for _ in range(200)]
    assert np.mean([verdict == "better" for verdict in clear]) >= 0.95
    assert "worse" not in clear


def test_fewer_seeds_say_less() -> None:
    rng = np.random.default_rng(2)
    three, five = (
        np.median(
            [(d := paired_difference(simulated(0, seeds, 3669, rng))).high - d.mean for _ in range(300)]
        )
        for seeds in (3, 5)
    )
    assert five < three < 3 * five


def test_it_is_never_narrower_than_that_of_the_seeds_alone() -> None:
    rng = np.random.default_rng(4)
    for seeds in (2, 3, 5):
        for _ in range(100):
            differences = simulated(0, seeds, 50, rng)
            both, alone = paired_difference(differences), seed_difference(differences.mean(axis=1))
            assert both.low <= alone.low + 1e-12 and both.high >= alone.high - 1e-12


def test_by_hand() -> None:
    """Two seeds, two images: the sums of squares on paper."""
    both = paired_difference(np.array([[0.0, 0.2], [0.2, 0.4]]))
    # MS_seed = MS_image = 2 * 2 * 0.1**2 = 0.04, MS_residual = 0; each with one degree of freedom.
    assert both.mean == pytest.approx(0.2)
    assert both.high - both.mean == pytest.approx(12.7062 * (0.08 / 4) ** 0.5, rel=1e-4)
    by_seed = seed_difference(np.array([0.1, 0.3]))
    assert by_seed.high - by_seed.mean == pytest.approx(12.7062 * 0.1, rel=1e-4)


def test_swapping_the_arms_swaps_the_signs() -> None:
    differences = simulated(0.02, 5, 50, np.random.default_rng(3))
    one, other = paired_difference(differences), paired_difference(-differences)
    assert (one.mean, one.low, one.high) == pytest.approx((-other.mean, -other.high, -other.low))


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.001, 0.2, "better"),
        (-0.2, -0.001, "worse"),
        (-NARROW, NARROW, "no difference shown"),
        (0.0, 2 * NARROW, "no difference shown"),
        (-NARROW, NARROW + 0.001, "too few runs to say"),
    ],
)
def test_the_verdict_follows_from_the_interval(low: float, high: float, verdict: str) -> None:
    assert Difference((low + high) / 2, low, high).verdict == verdict


def test_what_it_says_about_a_claim() -> None:
    def about(low: float, high: float, claimed: Literal["better", "worse"]) -> str:
        return compare_with_claim(Difference((low + high) / 2, low, high), claimed)

    assert about(0.01, 0.03, "better") == about(-0.03, -0.01, "worse") == "agrees"
    assert about(0.01, 0.03, "worse") == about(-0.03, -0.01, "better") == "contradicts"
    for low, high in ((-0.01, 0.01), (0.0040, 0.0113), (-0.0004, 0.0130), (-0.0045, -0.0020)):
        assert about(low, high, "better") == about(low, high, "worse") == "too small to matter"
    # No difference shown, but room for one: that contradicts nothing.
    assert about(-0.001, 0.028, "better") == about(-0.001, 0.028, "worse") == "undecided"
    assert about(-0.1, 0.1, "better") == about(-0.016, 0.010, "worse") == "undecided"
    assert about(0.001, 0.016, "better") == "agrees"


def test_a_single_seed_says_nothing() -> None:
    with pytest.raises(ValueError, match="1 seeds and 9 images"):
        paired_difference(np.zeros((1, 9)))
    with pytest.raises(ValueError, match="1 seeds"):
        seed_difference(np.zeros(1))
