import numpy as np
import pytest

from segmentation.evaluation.bootstrap import interval, resampled_means
from segmentation.scoring import scores


def test_an_interval_covers_the_mean_as_often_as_it_claims() -> None:
    rng, hits = np.random.default_rng(0), 0
    for trial in range(300):
        low, high = interval(resampled_means({"x": rng.beta(8, 2, 80)}, 1000, seed=trial)["x"])
        hits += low <= 0.8 <= high
    assert 0.90 <= hits / 300 <= 0.98


def test_an_interval_is_as_wide_as_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(0.9, 0.05, 3669)
    low, high = interval(resampled_means({"x": values}, 10_000)["x"])
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 3669**0.5, rel=0.05)
    assert interval(resampled_means({"x": values}, 10_000)["x"]) == (low, high)


def test_all_columns_see_the_same_draws() -> None:
    rng = np.random.default_rng(0)
    one, counts = rng.random(50), rng.integers(0, 9, (50, 4))
    drawn = resampled_means({"one": one, "twice": 2 * one, "counts": counts}, 200)
    np.testing.assert_allclose(drawn["twice"], 2 * drawn["one"])
    assert drawn["counts"].shape == (200, 4)
    again = resampled_means({"counts": counts}, 200)
    np.testing.assert_allclose(again["counts"], drawn["counts"])


def test_a_draw_is_a_mean_of_images_drawn_with_replacement() -> None:
    drawn = resampled_means({"x": np.eye(5)}, 3000)["x"] * 5  # how often each of 5 images was drawn
    np.testing.assert_allclose(drawn, drawn.round(), atol=1e-9)
    assert (drawn.round().sum(axis=1) == 5).all()
    assert drawn.mean(axis=0) == pytest.approx(np.ones(5), abs=0.05)
    assert drawn.var(axis=0) == pytest.approx(np.full(5, 4 / 5), abs=0.06)  # binomial: 5 draws of 1 in 5


def test_pooled_scores_are_those_of_the_images_drawn() -> None:
    counts = np.random.default_rng(0).integers(0, 90, (40, 4))
    drawn = resampled_means({"counts": counts, "who": np.eye(40)}, 20)
    for means, who in zip(drawn["counts"], drawn["who"], strict=True):
        images = np.repeat(np.arange(40), (who * 40).round().astype(int))
        assert scores.dice(means) == pytest.approx(float(scores.dice(counts[images].sum(axis=0))))


def test_resamples_are_drawn_in_chunks_that_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"x": np.random.default_rng(0).random((50, 2))}
    whole = resampled_means(values, 1000)["x"]
    monkeypatch.setattr("segmentation.evaluation.bootstrap.CHUNK", 50 * 7)
    np.testing.assert_allclose(resampled_means(values, 1000)["x"], whole, rtol=1e-12)
