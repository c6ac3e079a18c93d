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

Groups = dict[str, tuple[str, str]]  # group and species by image


def has_twin(split: Split) -> NDArray[np.bool_]:
    """Say of each test image whether a near-duplicate of it trained or validated."""
    seen = {*split["train"], *split["val"]}
    twins = {image_id for group in split["twins"] if seen & set(group) for image_id in group}
    return np.array([image_id in twins for image_id in split["test"]])


def image_rows(
    ids: Sequence[str],
    networks: Mapping[str, NetworkScores],
    facts: ImageFacts,
    groups: Groups,
    twin: NDArray[np.bool_],
    wrong: NDArray[np.bool_],
    resolution: str,
) -> list[dict[str, Any]]:
    """Return the rows of metrics/per_image.csv; `resolution` is that of the counts."""
    rows = []
    columns = {
        name: (network.counts[resolution], contour_scores(network)) for name, network in networks.items()
    }
    for i, image_id in enumerate(ids):
        group, species = groups.get(image_id, ("", ""))
        for name, (counts, contour) in columns.items():
            tp, fp, fn, tn = counts[i].tolist()
            rows.append(
                {"id": image_id, "model": name, "group": group, "species": species}
                | {"dice": float(scores.dice(counts[i])), "iou": float(scores.iou(counts[i]))}
                | {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
                | {key: float(values[i]) for key, values in contour.items()}
                | {
                    "height": int(facts.height[i]),
                    "width": int(facts.width[i]),
                    "foreground_share": float(facts.foreground_share[i]),
                    "twin": int(twin[i]),
                    "failure": failure(networks[name].false_pixels[i], bool(wrong[i])),
                }
            )
    return rows
