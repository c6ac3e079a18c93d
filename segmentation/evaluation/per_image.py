"""One row for each test image and network: what to look at, and to count anew."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.common.artifacts import Split
from segmentation.common.errors import InputError
from segmentation.evaluation.answers import Answer, ImageFacts
from segmentation.evaluation.compare import contour_scores
from segmentation.evaluation.failures import failure
from segmentation.scoring import scores


def read_groups(path: Path) -> dict[str, tuple[str, str]]:
    """Return group and species by image from data/groups.csv; raises `InputError` if it is damaged."""
    try:
        table = csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline=""), strict=True)
        if next(table, None) != ["id", "group", "species"]:
            raise ValueError
        return {image_id: (group, species) for image_id, group, species in table}
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run `python -m stages.download` first") from None
    except (ValueError, csv.Error):  # UnicodeDecodeError is a ValueError
        raise InputError(f"{path}: damaged; run `python -m stages.download` again") from None


def has_twin(split: Split) -> NDArray[np.bool_]:
    """Say of each test image whether a near-duplicate of it trained or validated."""
    seen = {*split["train"], *split["val"]}
    twins = {each for group in split["twins"] if seen & set(group) for each in group}
    return np.array([each in twins for each in split["test"]])


def image_rows(
    ids: Sequence[str],
    answers: Mapping[str, Answer],
    facts: ImageFacts,
    groups: Mapping[str, tuple[str, str]],
    twin: NDArray[np.bool_],
    wrong: NDArray[np.bool_],
    resolution: str,
) -> list[dict[str, Any]]:
    """Return the rows of metrics/per_image.csv; `answers` are those of the networks."""
    rows = []
    columns = {
        name: (getattr(answer, resolution).counts, contour_scores(answer)) for name, answer in answers.items()
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
                    "failure": failure(answers[name].false_pixels[i], bool(wrong[i])),
                }
            )
    return rows
