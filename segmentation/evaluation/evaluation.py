"""The evaluation of the networks on the test images: all scores, tables and example images."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segmentation.common import artifacts
from segmentation.common.errors import InputError
from segmentation.common.geometry import Geometry
from segmentation.evaluation.calibration import calibration_error, reliability, table, threshold_curves
from segmentation.evaluation.compare import break_down, compare, contour_scores
from segmentation.evaluation.failures import failure, failure_table, mask_looks_wrong
from segmentation.evaluation.overlays import TRUE, Example, gallery_files, ranked, sheet
from segmentation.evaluation.prediction_scores import Scored, baselines, read_test_image, score_predictions
from segmentation.inference.predictor import Predictor
from segmentation.loading.dataset import SegmentationDataset
from segmentation.models.build import network_names, network_title
from segmentation.models.checkpoints import Checkpoint, load_checkpoint
from segmentation.params import Evaluate, Networks
from segmentation.scoring import scores
from segmentation.scoring.scores import Values

ON_A_SHEET = 4  # images of each sheet
IN_THE_GALLERY = {"worst": 15, "median": 10, "best": 5}  # images for each network


class Evaluation(NamedTuple):
    """The outputs of the evaluation: contents of JSON files, rows of the table of images, and files."""

    test: dict[str, Any]
    details: dict[str, Any]
    per_image: list[dict[str, Any]]
    folders: dict[Path, dict[str, bytes]]  # the files of each, by name


def load_checkpoints(wanted: Networks) -> dict[str, Checkpoint]:
    """Return the checkpoint of each wanted network, by name.

    Raises `InputError` if one is missing, or if they were trained for different geometries or foregrounds.
    """
    names = [name for name in network_names() if getattr(wanted, name, True)]
    checkpoints = {name: load_checkpoint(artifacts.checkpoint_path(name)) for name in names}
    first, *others = [checkpoint.meta for checkpoint in checkpoints.values()]
    if any((meta.geometry, meta.foreground) != (first.geometry, first.foreground) for meta in others):
        problem = "trained for different image settings or foregrounds"
        raise InputError(f"{artifacts.CHECKPOINTS}: {problem}; run `dvc repro`")
    return checkpoints


def evaluate(
    raw: Path,
    split: artifacts.Split,
    groups: Sequence[Mapping[str, str]],
    checkpoints: Mapping[str, Checkpoint],
    settings: Evaluate,
) -> Evaluation:
    """Score the networks of `checkpoints` on the test images of the dataset folder `raw`.

    `groups` are the rows of data/groups.csv. Raises `InputError` if an image is missing or broken.
    """
    meta, ids = next(iter(checkpoints.values())).meta, split["test"]
    predictors = {
        name: dataclasses.replace(Predictor.from_checkpoint(checkpoint), tta=settings.tta)
        for name, checkpoint in checkpoints.items()
    }
    squares = Geometry(meta.size, meta.resize)
    train = SegmentationDataset(raw, split["train"], squares, meta.foreground)
    scored = score_predictions(raw, ids, meta.foreground, predictors, baselines(train))
    networks, facts = scored.networks, scored.facts
    twin, resolution = has_twin(split), settings.resolution
    dice = {name: scores.dice(network.counts[resolution]) for name, network in networks.items()}
    own_size = {name: scores.dice(network.counts["original"]) for name, network in networks.items()}
    wrong = mask_looks_wrong(facts.agreement, list(own_size.values()))
    label_of = {row["id"]: (row["group"], row["species"]) for row in groups}
    labels = [label_of.get(image_id, ("", "")) for image_id in ids]
    by_label = dict(zip(("group", "species"), zip(*labels, strict=True), strict=True))
    test, details = compare(scored, resolution, twin, settings.bootstrap)
    details |= {
        "images": len(ids),
        "empty": int((facts.foreground_share == 0).sum()),
        "twins": int(twin.sum()),
        "resolution": resolution,
        "tta": settings.tta,
        "thresholds": {name: checkpoint.meta.threshold for name, checkpoint in checkpoints.items()},
        "calibration_error": {name: calibration_error(network) for name, network in networks.items()},
        "failures": {
            name: failure_table(network.false_pixels, own_size[name], wrong)
            for name, network in networks.items()
        },
        "groups": break_down(dice, facts, by_label, settings.bootstrap),
    }
    curves = {artifacts.THRESHOLD_CURVES: threshold_curves, artifacts.RELIABILITY: reliability}
    folders = _example_images(raw, ids, meta.foreground, predictors, dice)
    for path, columns in curves.items():
        tables = {name: table(columns(network)) for name, network in networks.items()}
        header = tables[next(iter(tables))].partition(b"\n")[0] + b"\n"  # dvc.yaml plots all networks
        folders[path] = {f"{name}.csv": tables.get(name, header) for name in network_names()}
    rows = _image_rows(ids, scored, labels, twin, wrong, resolution)
    return Evaluation(test, details, rows, folders)


def has_twin(split: artifacts.Split) -> NDArray[np.bool_]:
    """Say of each test image whether a near-duplicate of it trained or validated."""
    seen = {*split["train"], *split["val"]}
    twins = {image_id for group in split["twins"] if seen & set(group) for image_id in group}
    return np.array([image_id in twins for image_id in split["test"]])


def _image_rows(
    ids: Sequence[str],
    scored: Scored,
    labels: Sequence[tuple[str, str]],
    twin: NDArray[np.bool_],
    wrong: NDArray[np.bool_],
    resolution: str,
) -> list[dict[str, Any]]:
    """Return the rows of metrics/per_image.csv; `labels` are the group and species of each image.

    The counts are those at `resolution`.
    """
    rows, facts = list[dict[str, Any]](), scored.facts
    for i, (image_id, (group, species)) in enumerate(zip(ids, labels, strict=True)):
        for name, network in scored.networks.items():
            counts = network.counts[resolution][i]
            rows.append(
                {"id": image_id, "model": name, "group": group, "species": species}
                | {"dice": float(scores.dice(counts)), "iou": float(scores.iou(counts))}
                | dict(zip(("tp", "fp", "fn", "tn"), counts.tolist(), strict=True))
                | {key: float(values[i]) for key, values in contour_scores(network).items()}
                | {"height": int(facts.height[i]), "width": int(facts.width[i])}
                | {"foreground_share": float(facts.foreground_share[i]), "twin": int(twin[i])}
                | {"failure": failure(network.false_pixels[i], bool(wrong[i]))}
            )
    return rows


def _example_images(
    raw: Path,
    ids: Sequence[str],
    foreground: Sequence[str],
    predictors: Mapping[str, Predictor],
    dice: Mapping[str, Values],
) -> dict[Path, dict[str, bytes]]:
    """Draw sheets of the worst, median and best images, and each image of the gallery."""

    def example(index: int) -> Example:
        """Let every network predict an image once more."""
        image, target, _ = read_test_image(raw, ids[index], foreground)
        masks = {TRUE: target} | {name: predictor.mask(image) for name, predictor in predictors.items()}
        of_image = {name: float(values[index]) for name, values in dice.items()}
        return Example(ids[index], image, masks, of_image)

    titles = {name: network_title(name) for name in predictors}
    for_each = max(1, min(ON_A_SHEET, len(ids) // 3) // len(predictors))
    sheets = {
        f"{label}.png": sheet(
            f"{label.capitalize()} of {len(ids)} test images", [*map(example, chosen)], titles
        )
        for label, chosen in ranked(dice, dict.fromkeys(IN_THE_GALLERY, for_each)).items()
        if chosen
    }
    shown = sorted(index for chosen in ranked(dice, IN_THE_GALLERY).values() for index in chosen)
    gallery = {name: data for index in shown for name, data in gallery_files(example(index)).items()}
    return {artifacts.OVERLAYS: sheets, artifacts.GALLERY: gallery}
