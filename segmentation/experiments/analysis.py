"""Differences between two ways to train, over several seeds and many test images, and what follows."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
NARROW = 0.015  # a smaller difference in Dice does not matter; half the width of a narrow interval

Verdict = Literal["better", "worse", "no difference shown", "too few runs to say"]


class Difference(NamedTuple):
    """A mean difference in Dice with its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.4f} ({self.low:+.4f} to {self.high:+.4f})"

    @property
    def verdict(self) -> Verdict:
        """Say what follows: the interval leaves out 0; or it is narrow; or neither."""
        if self.low > 0:
            return "better"
        if self.high < 0:
            return "worse"
        narrow = self.high - self.low <= 2 * NARROW
        return "no difference shown" if narrow else "too few runs to say"


def paired_difference(differences: NDArray[np.floating]) -> Difference:
    """Return the mean of `(S, I)` differences, of each seed and test image, with an interval for both.

    It covers other seeds and other images: a two-way analysis of variance with seeds and images crossed, both
    random, one observation per cell (Searle, Casella and McCulloch 1992, chapter 4). The error of the mean
    has two independent parts. That of seeds and noise has the variance MS_seed / (S I) with S - 1 degrees of
    freedom; that of images has (MS_image - MS_residual) / (S I) with about I - 1 (too narrow for fewer than
    some 20 images). Each part alone has an interval by Student's t; the squares of their half widths add, as
    in Zou and Donner 2008, doi:10.1002/sim.3095. A single variance with Satterthwaite's degrees of freedom
    would be too narrow with two seeds that happen to be close. Raises `ValueError` for fewer than two seeds
    or images.
    """
    seeds, images = differences.shape
    if min(seeds, images) < 2:
        raise ValueError(f"{seeds} seeds and {images} images: at least two of each are needed")
    mean = float(differences.mean())
    by_seed, by_image = differences.mean(axis=1) - mean, differences.mean(axis=0) - mean
    residual = differences - mean - by_seed[:, None] - by_image
    ms_seed = images * float((by_seed**2).sum()) / (seeds - 1)
    ms_image = seeds * float((by_image**2).sum()) / (images - 1)
    ms_residual = float((residual**2).sum()) / ((seeds - 1) * (images - 1))
    parts = np.array([ms_seed, max(0.0, ms_image - ms_residual)]) / (seeds * images)
    quantiles = stats.t.ppf((1 + CONFIDENCE) / 2, [seeds - 1, images - 1])
    half = float((quantiles**2 * parts).sum() ** 0.5)
    return Difference(mean, mean - half, mean + half)


def seed_difference(differences: NDArray[np.floating], share_tested: float = 0.0) -> Difference:
    """Return the mean of `(S,)` differences, one a seed, with an interval for the seeds alone: Student's t.

    For scores that single images do not have; and for random splits, each of which tests a share of the
    images. As their training images overlap, the variance is larger: Nadeau and Bengio 2003, "Inference for
    the Generalization Error", doi:10.1023/A:1024068626366. Raises `ValueError` for fewer than two seeds.
    """
    seeds, mean = len(differences), float(differences.mean())
    if seeds < 2:
        raise ValueError(f"{seeds} seeds: at least two are needed")
    error = float(differences.std(ddof=1)) * (1 / seeds + share_tested / (1 - share_tested)) ** 0.5
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, seeds - 1)) * error
    return Difference(mean, mean - half, mean + half)


def compare_with_claim(difference: Difference, claimed: Literal["better", "worse"]) -> str:
    """Say whether a difference agrees with a claimed one, or contradicts it: is on the other side of 0.

    One that is shown to be smaller than `NARROW`, either way, does neither.
    """
    if max(-difference.low, difference.high) < NARROW:
        return "too small to matter"
    if difference.verdict == claimed:
        return "agrees"
    return "contradicts" if difference.verdict in ("better", "worse") else "undecided"
