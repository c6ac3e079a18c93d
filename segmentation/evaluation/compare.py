"""From the answers for each image to the test scores, with intervals and paired differences."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segmentation.evaluation.answers import Answer
from segmentation.evaluation.bootstrap import interval, resampled_means
from segmentation.evaluation.boundary import TOLERANCES
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


class Comparison(NamedTuple):
    """The content of metrics/test.json, and the scores of metrics/details.json."""

    test: dict[str, Any]
    details: dict[str, Any]


def compare(
    answers: Mapping[str, Answer],
    networks: Sequence[str],
    resolution: str,
    twin: NDArray[np.bool_],
    resamples: int,
) -> Comparison:
    """Compare the answers of the `networks` with each other, and with the others, which are baselines.

    The scores are taken at `resolution`, network or original; `twin` says which images have near-duplicates
    among those that trained or validated. All intervals of a network come from the same draws, so that
    differences are paired; those without twins from draws of their own.
    """
    chosen = {name: getattr(each, resolution) for name, each in answers.items()}
    views = {
        "network": {name: answers[name].network.counts for name in networks},
        "original": {name: answers[name].original.counts for name in networks},
        "at_half": {name: chosen[name].at_half for name in networks},
        "no_border": {name: chosen[name].no_border for name in networks},
        "baselines": {name: each.counts for name, each in chosen.items() if name not in networks},
    }
    per_image = {
        (view, name): _per_image(counts) for view, found in views.items() for name, counts in found.items()
    } | {("contour", name): contour_scores(answers[name]) for name in networks}
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
        | {"dice_soft": scores.mean_soft_dice(answers[name].soft)}
        for name in networks
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
        details["no_twins"] = _without(chosen, networks, ~twin, resamples)
    return Comparison(test, details)


def contour_scores(answer: Answer) -> dict[str, Values]:
    """Return Boundary IoU and surface Dice of each image, by name."""
    surface = {f"surface_dice_{px}": answer.surface_dice[:, i] for i, px in enumerate(TOLERANCES)}
    return {"boundary_iou": answer.boundary_iou} | surface


def _per_image(counts: Counts) -> dict[str, NDArray[Any]]:
    return {"dice": scores.dice(counts), "iou": scores.iou(counts), "counts": counts}


def _block(counts: Counts, drawn: Mapping[Any, Values], key: tuple[str, str]) -> dict[str, float]:
    """All scores of one answer with their intervals; precision, recall and `…_pooled` from pooled counts."""
    means = {name: each for name, each in _per_image(counts).items() if name != "counts"}
    block, pooled = _with_intervals(means, drawn, key), counts.sum(axis=0)
    for name, score in POOLED.items():
        low, high = interval(score(drawn[*key, "counts"]))
        block |= {name: float(score(pooled)), f"{name}_low": low, f"{name}_high": high}
    return block


def _with_intervals(
    values: Mapping[str, Values], drawn: Mapping[Any, Values], key: tuple[str, str]
) -> dict[str, float]:
    block: dict[str, float] = {}
    for name, each in values.items():
        low, high = interval(drawn[*key, name])
        block |= {name: float(each.mean()), f"{name}_low": low, f"{name}_high": high}
    return block


def _wins(dice: Values, reference: Values) -> dict[str, float]:
    return {"better": float((dice > reference).mean()), "worse": float((dice < reference).mean())}


def _without(
    chosen: Mapping[str, Any], networks: Sequence[str], kept: NDArray[np.bool_], resamples: int
) -> dict[str, Any]:
    counts = {name: chosen[name].counts[kept] for name in networks}
    columns = {("", name, what): each for name in networks for what, each in _per_image(counts[name]).items()}
    drawn = resampled_means(columns, resamples)
    blocks = {name: _block(counts[name], drawn, ("", name)) for name in networks}
    return {"images": int(kept.sum())} | blocks
