"""From the answers for each image to the test scores, with intervals and paired differences."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.evaluation.bootstrap import interval, resampled_means
from segmentation.evaluation.boundary import TOLERANCES
from segmentation.evaluation.prediction_scores import RESOLUTIONS, NetworkScores, Scored
from segmentation.scoring import scores
from segmentation.scoring.scores import Counts, Values

POOLED: dict[str, Callable[[NDArray[Any]], Values]] = {
    "dice_pooled": scores.dice,
    "iou_pooled": scores.iou,
    "precision": scores.precision,
    "recall": scores.recall,
}
# Of a block of scores, what metrics/test.json shows:
SHORT = ("dice", "dice_low", "dice_high", "iou", "dice_pooled", "iou_pooled", "precision", "recall")


def compare(
    scored: Scored, resolution: str, twin: NDArray[np.bool_], resamples: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Compare the networks with each other, and with the baselines.

    Return the content of metrics/test.json, and the scores of metrics/details.json. The former are taken at
    `resolution`, network or original; `twin` says which images have near-duplicates among those that trained
    or validated. All intervals of a network come from the same draws, so that differences are paired; those
    without twins from draws of their own.
    """
    networks = scored.networks
    views = {size: {name: each.counts[size] for name, each in networks.items()} for size in RESOLUTIONS} | {
        "no_border": {name: each.no_border[resolution] for name, each in networks.items()},
        "baselines": {name: counts[resolution] for name, counts in scored.baselines.items()},
    }
    per_image = {
        (view, name): _per_image(counts) for view, found in views.items() for name, counts in found.items()
    } | {("contour", name): contour_scores(each) for name, each in networks.items()}
    columns = {(*key, what): each for key, found in per_image.items() for what, each in found.items()}
    drawn = resampled_means(columns, resamples)
    blocks = {
        view: {name: _block(counts, drawn, (view, name)) for name, counts in found.items()}
        for view, found in views.items()
    }

    def difference(one: tuple[str, str], other: tuple[str, str]) -> dict[str, float]:
        """How much better the mean Dice of `one` is than that of `other`, paired by image."""
        low, high = interval(drawn[*one, "dice"] - drawn[*other, "dice"])
        mean = float((per_image[one]["dice"] - per_image[other]["dice"]).mean())
        return {"dice": mean, "low": low, "high": high}

    first, *others = networks
    test: dict[str, Any] = {
        name: {key: blocks[resolution][name][key] for key in SHORT}
        | {"dice_soft": scores.mean_soft_dice(each.soft)}
        for name, each in networks.items()
    }
    test["difference"] = {name: difference((resolution, name), (resolution, first)) for name in others}
    best = max(blocks["baselines"], key=lambda name: blocks["baselines"][name]["dice"])
    details = blocks | {
        "gain": {
            name: {"baseline": best} | difference((resolution, name), ("baselines", best))
            for name in networks
        },
        "wins": {
            name: _wins(per_image[resolution, name]["dice"], per_image[resolution, first]["dice"])
            for name in others
        },
        "contour": {
            name: _with_intervals(per_image["contour", name], drawn, ("contour", name)) for name in networks
        },
    }
    if not twin.all():
        kept = {name: counts[~twin] for name, counts in views[resolution].items()}
        details["no_twins"] = {"images": int((~twin).sum())} | _blocks(kept, resamples)
    return test, details


def contour_scores(network: NetworkScores) -> dict[str, Values]:
    """Return Boundary IoU and surface Dice of each image, by name."""
    surface = {f"surface_dice_{px}": network.surface_dice[:, i] for i, px in enumerate(TOLERANCES)}
    return {"boundary_iou": network.boundary_iou} | surface


def _per_image(counts: Counts) -> dict[str, NDArray[Any]]:
    return {"dice": scores.dice(counts), "iou": scores.iou(counts), "counts": counts}


def _block(counts: Counts, drawn: Mapping[Any, Values], key: tuple[str, ...]) -> dict[str, float]:
    """All scores of one answer with their intervals; precision, recall and `…_pooled` from pooled counts."""
    means = {name: each for name, each in _per_image(counts).items() if name != "counts"}
    block, pooled = _with_intervals(means, drawn, key), counts.sum(axis=0)
    for name, score in POOLED.items():
        low, high = interval(score(drawn[*key, "counts"]))
        block |= {name: float(score(pooled)), f"{name}_low": low, f"{name}_high": high}
    return block


def _with_intervals(
    values: Mapping[str, Values], drawn: Mapping[Any, Values], key: tuple[str, ...]
) -> dict[str, float]:
    block: dict[str, float] = {}
    for name, each in values.items():
        low, high = interval(drawn[*key, name])
        block |= {name: float(each.mean()), f"{name}_low": low, f"{name}_high": high}
    return block


def _wins(dice: Values, reference: Values) -> dict[str, float]:
    return {"better": float((dice > reference).mean()), "worse": float((dice < reference).mean())}


def _blocks(counts: Mapping[str, Counts], resamples: int) -> dict[str, dict[str, float]]:
    """The scores of several answers for the same images, with intervals from draws of their own."""
    columns = {(name, what): each for name in counts for what, each in _per_image(counts[name]).items()}
    drawn = resampled_means(columns, resamples)
    return {name: _block(each, drawn, (name,)) for name, each in counts.items()}
