"""Scores of parts of the test images: by group, species, size of the object, brightness and contrast."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.evaluation.bootstrap import interval, resampled_means
from segmentation.evaluation.prediction_scores import ImageFacts
from segmentation.scoring.scores import Values

THIRDS = {"foreground_share": "foreground", "brightness": "brightness", "contrast": "contrast"}


def break_down(
    dice: Mapping[str, Values], facts: ImageFacts, labels: Mapping[str, Sequence[str]], resamples: int
) -> dict[str, list[dict[str, Any]]]:
    """Return tables of the mean Dice of each network, with its interval, worst first (by the first network).

    `labels` say of each image to which group or species it belongs, "" for none. The thirds of foreground,
    brightness and contrast are those of these images.
    """
    tables = dict(labels) | {name: _thirds(getattr(facts, fact)) for fact, name in THIRDS.items()}
    return {
        name: _table(dice, np.asarray(column), resamples) for name, column in tables.items() if any(column)
    }


def _table(dice: Mapping[str, Values], labels: NDArray[np.str_], resamples: int) -> list[dict[str, Any]]:
    rows = []
    for label in sorted(set(labels.tolist()) - {""}):
        inside = {name: values[labels == label] for name, values in dice.items()}
        drawn = resampled_means(inside, resamples)
        row: dict[str, Any] = {"label": label, "images": int((labels == label).sum())}
        for name, values in inside.items():
            low, high = interval(drawn[name])
            row[name] = {"dice": float(values.mean()), "low": low, "high": high}
        rows.append(row)
    return sorted(rows, key=lambda row: row[next(iter(dice))]["dice"])


def _thirds(values: Values) -> list[str]:
    """Name the third in which each value lies, with its limits; no name if there are not three."""
    low, high = np.quantile(values, (1 / 3, 2 / 3))
    names = (f"to {low:.2g}", f"{low:.2g} to {high:.2g}", f"from {high:.2g}")
    thirds = [names[int(value > low) + int(value > high)] for value in values]
    return thirds if len(set(thirds)) == len(names) else [""] * len(values)
