"""Bootstrap intervals over the test images. Efron and Tibshirani 1993, chapter 13."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.common.seeds import Purpose, stream
from segmentation.scoring.scores import Values

CHUNK = 2_000_000  # weights at once, to bound the memory
CONFIDENCE = 0.95


def resampled_means(
    columns: Mapping[Any, NDArray[np.number]], resamples: int, seed: int = 0
) -> dict[Any, Values]:
    """Draw the images `resamples` times with replacement; return the means of every column in each draw.

    A column is `(N,)` or `(N, K)`, its means `(resamples,)` or `(resamples, K)`. All columns see the same
    draws, so that differences are paired, and pooled scores can be taken from means of counts.
    """
    flat = [np.asarray(column, np.float64).reshape(len(column), -1) for column in columns.values()]
    values, count = np.concatenate(flat, axis=1), len(flat[0])
    rng, chunk = np.random.default_rng(stream(Purpose.BOOTSTRAP, seed)), max(1, CHUNK // count)
    means = np.empty((resamples, values.shape[1]))
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        drawn = rng.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        means[start : start + rows] = weights.astype(np.float64) @ values / count
    parts = np.split(means, np.cumsum([column.shape[1] for column in flat])[:-1], axis=1)
    return {
        name: part.reshape(resamples, *np.shape(columns[name])[1:])
        for name, part in zip(columns, parts, strict=True)
    }


def interval(drawn: Values) -> tuple[float, float]:
    """Return the 95 % percentile interval of what each draw gave, `(resamples,)`."""
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return float(low), float(high)
