"""From the scores of each image to those of all and of groups, with intervals and paired differences."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.evaluation.bootstrap import interval, resampled_means
from segmentation.evaluation.boundary import TOLERANCES
from segmentation.evaluation.prediction_scores import RESOLUTIONS, ImageFacts, NetworkScores, Scored
from segmentation.scoring import scores
from segmentation.scoring.scores import Counts, Values

POOLED: dict[str, Callable[[NDArray[Any]], Values]] = {
    "dice_pooled": scores.dice,
    "iou_pooled": scores.iou,
    "precision": scores.precision,
    "recall": scores.recall,
}
THIRDS = {"foreground_share": "foreground", "brightness": "brightness", "contrast": "contrast"}
SHORT = ("dice", "dice_low", "dice_high", "dice_pooled")  # of a block of scores, what metrics/test.json shows

Key = tuple[str, str, str]  # a view of the images, such as "original", a network or baseline, and a score
Columns = dict[Key, NDArray[Any]]  # a value, or the counts, of each image


def compare(
    scored: Scored, resolution: str, twin: NDArray[np.bool_], resamples: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Compare the networks with each other, and with the baselines.

    Return the content of metrics/test.json, taken at `resolution`, network or original, and the scores of
    metrics/details.json. `twin` says which images have near-duplicates among those that trained or validated.
    All intervals but those without twins come from the same draws, so that differences are paired.
    """
    networks = scored.networks
    views = {size: {name: network.counts[size] for name, network in networks.items()} for size in RESOLUTIONS}
    views["no_border"] = {name: network.no_border[resolution] for name, network in networks.items()}
    views["baselines"] = {name: counts[resolution] for name, counts in scored.baselines.items()}
    columns = _columns(views) | {
        ("contour", name, score): values
        for name, network in networks.items()
        for score, values in contour_scores(network).items()
    }
    drawn = resampled_means(columns, resamples)
    blocks = {view: {name: _block(columns, drawn, view, name) for name in views[view]} for view in views}

    def difference(one: tuple[str, str], other: tuple[str, str]) -> dict[str, float]:
        """How much better the mean Dice of `one` is than that of `other`, paired by image."""
        low, high = interval(drawn[*one, "dice"] - drawn[*other, "dice"])
        mean = float((columns[*one, "dice"] - columns[*other, "dice"]).mean())
        return {"dice": mean, "low": low, "high": high}

    first, *others = networks
    test: dict[str, Any] = {
        name: {key: blocks[resolution][name][key] for key in SHORT}
        | {"dice_soft": scores.mean_soft_dice(network.soft)}
        for name, network in networks.items()
    }
    if others:
        test["difference"] = {name: difference((resolution, name), (resolution, first)) for name in others}
    best = max(blocks["baselines"], key=lambda name: blocks["baselines"][name]["dice"])
    first_dice = columns[resolution, first, "dice"]
    gaps = {name: columns[resolution, name, "dice"] - first_dice for name in others}
    details = blocks | {
        "gain": {
            name: {"baseline": best} | difference((resolution, name), ("baselines", best))
            for name in networks
        },
        "wins": {
            name: {"better": float((gap > 0).mean()), "worse": float((gap < 0).mean())}
            for name, gap in gaps.items()
        },
        "contour": {name: _block(columns, drawn, "contour", name) for name in networks},
    }
    if not twin.all():
        kept = _columns({"no_twins": {name: counts[~twin] for name, counts in views[resolution].items()}})
        drawn_kept = resampled_means(kept, resamples)
        details["no_twins"] = {"images": int((~twin).sum())} | {
            name: _block(kept, drawn_kept, "no_twins", name) for name in networks
        }
    return test, details


def contour_scores(network: NetworkScores) -> dict[str, Values]:
    """Return Boundary IoU and surface Dice of each image, by name."""
    surface = {f"surface_dice_{px}": network.surface_dice[:, i] for i, px in enumerate(TOLERANCES)}
    return {"boundary_iou": network.boundary_iou} | surface


def break_down(
    dice: Mapping[str, Values], facts: ImageFacts, labels: Mapping[str, Sequence[str]], resamples: int
) -> dict[str, list[dict[str, Any]]]:
    """Return tables of the mean Dice of each network, with its interval, worst first (by the first network).

    `labels` say of each image to which group or species it belongs, "" for none. The thirds of foreground,
    brightness and contrast are those of these images.
    """
    tables = dict(labels) | {name: _thirds(getattr(facts, fact)) for fact, name in THIRDS.items()}
    return {
        name: _group_table(dice, np.asarray(column), resamples)
        for name, column in tables.items()
        if any(column)
    }


def _columns(views: Mapping[str, Mapping[str, Counts]]) -> Columns:
    """Return Dice, IoU and counts of each image, by view, name and score."""
    return {
        (view, name, score): values
        for view, by_name in views.items()
        for name, counts in by_name.items()
        for score, values in (("dice", scores.dice(counts)), ("iou", scores.iou(counts)), ("counts", counts))
    }


def _block(columns: Columns, drawn: Mapping[Key, Values], view: str, name: str) -> dict[str, float]:
    """Return all scores in a view with their intervals: means, and those of `POOLED` from pooled counts."""
    keys = {key[2]: key for key in columns if key[:2] == (view, name)}
    counts = keys.pop("counts", None)
    with_draws = {score_name: (float(columns[key].mean()), drawn[key]) for score_name, key in keys.items()}
    if counts:
        pooled = columns[counts].sum(axis=0)
        with_draws |= {
            score_name: (float(score(pooled)), score(drawn[counts])) for score_name, score in POOLED.items()
        }
    block: dict[str, float] = {}
    for score_name, (value, values) in with_draws.items():
        low, high = interval(values)
        block |= {score_name: value, f"{score_name}_low": low, f"{score_name}_high": high}
    return block


def _group_table(
    dice: Mapping[str, Values], labels: NDArray[np.str_], resamples: int
) -> list[dict[str, Any]]:
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
