"""One row for each test image and network: what to look at, and to count anew."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.common.artifacts import Split
from segmentation.evaluation.compare import contour_scores
from segmentation.evaluation.failures import failure
from segmentation.evaluation.prediction_scores import ImageFacts, NetworkScores
from segmentation.scoring import scores


def has_twin(split: Split) -> NDArray[np.bool_]:
    """Say of each test image whether a near-duplicate of it trained or validated."""
    seen = {*split["train"], *split["val"]}
    twins = {image_id for group in split["twins"] if seen & set(group) for image_id in group}
    return np.array([image_id in twins for image_id in split["test"]])


def image_rows(
    ids: Sequence[str],
    networks: Mapping[str, NetworkScores],
    facts: ImageFacts,
    labels: Sequence[tuple[str, str]],
    twin: NDArray[np.bool_],
    wrong: NDArray[np.bool_],
    resolution: str,
) -> list[dict[str, Any]]:
    """Return the rows of metrics/per_image.csv; `labels` are the group and species of each image.

    The counts are those at `resolution`.
    """
    rows = []
    for i, (image_id, (group, species)) in enumerate(zip(ids, labels, strict=True)):
        for name, network in networks.items():
            counts = network.counts[resolution][i]
            tp, fp, fn, tn = counts.tolist()
            rows.append(
                {"id": image_id, "model": name, "group": group, "species": species}
                | {"dice": float(scores.dice(counts)), "iou": float(scores.iou(counts))}
                | {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
                | {key: float(values[i]) for key, values in contour_scores(network).items()}
                | {"height": int(facts.height[i]), "width": int(facts.width[i])}
                | {"foreground_share": float(facts.foreground_share[i]), "twin": int(twin[i])}
                | {"failure": failure(network.false_pixels[i], bool(wrong[i]))}
            )
    return rows
