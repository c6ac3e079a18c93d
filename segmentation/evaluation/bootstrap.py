"""Bootstrap intervals of means over images."""

import numpy as np

from segmentation.common.seeds import Purpose, stream
from segmentation.scoring.scores import Values

CHUNK = 1_000_000  # numbers drawn at once, to bound the memory
CONFIDENCE = 0.95


def intervals(values: Values, resamples: int, seed: int = 0) -> list[tuple[float, float]]:
    """Return 95 % percentile bootstrap intervals of the column means of `(N, K)` values, over the N images.

    All columns are resampled together, so a column of differences gets a paired interval.
    Efron and Tibshirani 1993, chapter 13.
    """
    rng, count = np.random.default_rng(stream(Purpose.BOOTSTRAP, seed)), len(values)
    chunk = max(1, CHUNK // count)
    means = [
        values[rng.integers(count, size=(min(chunk, resamples - start), count))].mean(axis=1)
        for start in range(0, resamples, chunk)
    ]
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(np.concatenate(means), [tail, 100 - tail], axis=0)
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]
