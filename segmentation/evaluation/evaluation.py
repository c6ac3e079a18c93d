"""All that is found out about the networks on the test images."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from segmentation.common.artifacts import Split
from segmentation.evaluation.answers import read_test_image, score_answers
from segmentation.evaluation.baselines import baselines
from segmentation.evaluation.breakdown import break_down
from segmentation.evaluation.calibration import (
    BADLY,
    calibration_error,
    reliability,
    rows,
    threshold_curves,
)
from segmentation.evaluation.compare import compare
from segmentation.evaluation.failures import failure_table, mask_looks_wrong
from segmentation.evaluation.overlays import encoded, make_example, panels, ranked, sheet
from segmentation.evaluation.per_image import has_twin, image_rows
from segmentation.inference.predictor import Predictor
from segmentation.loading.dataset import SegmentationDataset
from segmentation.models.build import network_title
from segmentation.models.checkpoints import Checkpoint
from segmentation.params import Evaluate
from segmentation.scoring import scores

ON_A_SHEET = 4  # images of each sheet
IN_THE_GALLERY = {"worst": 15, "median": 10, "best": 5}  # images for each network

Table = list[dict[str, Any]]


class Evaluation(NamedTuple):
    """The outputs of the evaluation: contents of JSON files, rows of tables, pictures by file name.

    Curves are tables by network.
    """

    test: dict[str, Any]
    details: dict[str, Any]
    per_image: Table
    threshold_curves: dict[str, Table]
    reliability: dict[str, Table]
    overlays: dict[str, bytes]
    gallery: dict[str, bytes]


def evaluate(
    raw: Path,
    split: Split,
    groups: Mapping[str, tuple[str, str]],
    checkpoints: Mapping[str, Checkpoint],
    settings: Evaluate,
) -> Evaluation:
    """Score the networks of `checkpoints` on the test images of the dataset folder `raw`.

    `groups` are group and species of images. Raises `InputError` if an image is missing or broken.
    """
    meta, ids, names = next(iter(checkpoints.values())).meta, split["test"], list(checkpoints)
    predictors = {
        name: dataclasses.replace(Predictor.from_checkpoint(each), tta=settings.tta)
        for name, each in checkpoints.items()
    }
    train = SegmentationDataset(raw, split["train"], meta.size, meta.foreground)
    answers, facts = score_answers(raw, ids, meta.foreground, predictors, baselines(train))
    networks = {name: answers[name] for name in names}
    twin, resolution = has_twin(split), settings.resolution
    dice = {name: scores.dice(getattr(each, resolution).counts) for name, each in networks.items()}
    own_size = {name: scores.dice(each.original.counts) for name, each in networks.items()}
    wrong = mask_looks_wrong(facts.agreement, list(own_size.values()))
    test, details = compare(answers, names, resolution, twin, settings.bootstrap)
    labels = [groups.get(each, ("", "")) for each in ids]
    errors = {name: calibration_error(each) for name, each in networks.items()}
    details |= {
        "images": len(ids),
        "empty": int((facts.foreground_share == 0).sum()),
        "twins": int(twin.sum()),
        "resolution": resolution,
        "tta": settings.tta,
        "thresholds": {name: each.meta.threshold for name, each in checkpoints.items()},
        "calibration_error": errors,
        "badly_calibrated": {name: error for name, error in errors.items() if error > BADLY},
        "failures": {
            name: failure_table(each.false_pixels, own_size[name], wrong, ids)
            for name, each in networks.items()
        },
        "groups": break_down(
            dice,
            facts,
            {"group": [group for group, _ in labels], "species": [species for _, species in labels]},
            settings.bootstrap,
        ),
    }

    def example(index: int) -> Any:
        image = read_test_image(raw, ids[index], meta.foreground)
        return make_example(
            ids[index], image, predictors, {name: float(each[index]) for name, each in dice.items()}
        )

    titles = {name: network_title(name) for name in names}
    each_sheet = max(1, min(ON_A_SHEET, len(ids) // 3) // len(names))
    sheets = ranked(dice, dict.fromkeys(("worst", "median", "best"), each_sheet))
    shown = sorted(index for chosen in ranked(dice, IN_THE_GALLERY).values() for index in chosen)
    return Evaluation(
        test=test,
        details=details,
        per_image=image_rows(ids, networks, facts, groups, twin, wrong, resolution),
        threshold_curves={name: rows(threshold_curves(each)) for name, each in networks.items()},
        reliability={name: rows(reliability(each)) for name, each in networks.items()},
        overlays={
            f"{label}.png": sheet(
                f"{label.capitalize()} of {len(ids)} test images",
                [example(index) for index in chosen],
                titles,
            )
            for label, chosen in sheets.items()
            if chosen
        },
        gallery={f"{ids[index]}.jpg": encoded(panels(example(index)), "JPEG", quality=80) for index in shown},
    )
