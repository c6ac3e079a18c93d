import numpy as np
import pytest

from segmentation.evaluation.bootstrap import intervals


def test_an_interval_covers_the_mean_as_often_as_it_claims() -> None:
    rng, hits = np.random.default_rng(0), 0
    for trial in range(300):
        values = rng.beta(8, 2, (80, 1))
        ((low, high),) = intervals(values, 1000, seed=trial)
        hits += low <= 0.8 <= high
    assert 0.90 <= hits / 300 <= 0.98


def test_an_interval_is_as_wide_as_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(0.9, 0.05, (3669, 1))
    ((low, high),) = intervals(values, 10_000)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 3669**0.5, rel=0.05)
    assert intervals(values, 10_000) == [(low, high)]


def test_resamples_are_drawn_in_chunks_that_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random((50, 2))
    whole = intervals(values, 1000)
    monkeypatch.setattr("segmentation.evaluation.bootstrap.CHUNK", 50 * 7)
    assert intervals(values, 1000) == whole  # the stream of random numbers is the same
