"""What networks and trivial baselines predict for the test images, scored image by image."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from segmentation.common.cores import usable_cores
from segmentation.common.dataset_layout import BORDER, image_path, trimap_path
from segmentation.common.geometry import Geometry, Image, Mask, Probabilities
from segmentation.common.image_io import foreground_mask, read_image, read_trimap
from segmentation.common.progress import progress
from segmentation.evaluation.boundary import TOLERANCES, boundary_iou, surface_dice
from segmentation.evaluation.failures import KINDS, false_pixels
from segmentation.inference.predictor import Predictor
from segmentation.loading.dataset import SegmentationDataset
from segmentation.scoring.scores import Counts, Values, dice, soft_sums
from segmentation.scoring.threshold import (
    BINS,
    DEFAULT_THRESHOLD,
    BinCounts,
    bin_counts,
    is_foreground,
    to_bins,
)

BATCH_SIZE = 8
RESOLUTIONS = ("network", "original")  # the size that a network sees, and each image's own size

BooleanMask = NDArray[np.bool_]  # (H, W)
CountsBySize = dict[str, Counts]  # (N, 4) at each of `RESOLUTIONS`


class LabelledImage(NamedTuple):
    """An image `(H, W, 3)`, its target and its trimap's border, `(H, W)` of 0 and 1."""

    image: Image
    target: Mask
    border: Mask


class Prediction(NamedTuple):
    """Probabilities of foreground at network size, and that from which a pixel is foreground."""

    probabilities: Probabilities
    threshold: float = DEFAULT_THRESHOLD


class NetworkScores(NamedTuple):
    """Scores of a network's predictions for N images.

    `soft`, `bins` and `confidence` are at the size of the network, what follows is at each image's own size.
    """

    counts: CountsBySize
    no_border: CountsBySize  # without the pixels of the trimap's border
    soft: Values  # (N, 3): see scores.soft_sums
    bins: BinCounts
    confidence: Values  # (N, 100): sums of the probabilities in each bin
    boundary_iou: Values
    surface_dice: Values  # (N, 2): at 1 and 2 pixels
    false_pixels: NDArray[np.int64]  # (N, 4): see failures.KINDS

    @classmethod
    def zeros(cls, count: int) -> "NetworkScores":
        """Return the scores of `count` images, to be filled in."""
        return cls(
            counts=_zero_counts(count),
            no_border=_zero_counts(count),
            soft=np.zeros((count, 3)),
            bins=np.zeros((count, 2, BINS), np.int64),
            confidence=np.zeros((count, BINS)),
            boundary_iou=np.zeros(count),
            surface_dice=np.zeros((count, len(TOLERANCES))),
            false_pixels=np.zeros((count, len(KINDS)), np.int64),
        )


class ImageFacts(NamedTuple):
    """Properties of N test images; `agreement` is the lowest Dice between the masks of two networks."""

    height: Values
    width: Values
    foreground_share: Values
    brightness: Values  # mean grey value, in [0, 1]
    contrast: Values  # standard deviation of the grey values
    agreement: Values


class Scored(NamedTuple):
    """All scores of N test images; networks and baselines by name."""

    networks: dict[str, NetworkScores]
    baselines: dict[str, CountsBySize]
    facts: ImageFacts


def score_predictions(
    raw: Path,
    ids: Sequence[str],
    foreground: Sequence[str],
    predictors: Mapping[str, Predictor],
    baselines: Mapping[str, Prediction],
) -> Scored:
    """Let every network predict every test image once, and compare that and the `baselines` with its mask.

    The networks must have the same geometry. Raises `InputError` if a file is missing or broken.
    """
    geometry = next(iter(predictors.values())).geometry
    # Allocated once: small arrays of each image between the large ones would fragment the memory.
    scored = Scored(
        networks={name: NetworkScores.zeros(len(ids)) for name in predictors},
        baselines={name: _zero_counts(len(ids)) for name in baselines},
        facts=ImageFacts(*np.zeros((len(ImageFacts._fields), len(ids)))),
    )

    def read(image_id: str) -> dict[str, LabelledImage]:
        image = read_test_image(raw, image_id, foreground)
        masks = (geometry.mask_to_network(mask) for mask in (image.target, image.border))
        return {"network": LabelledImage(geometry.to_network(image.image), *masks), "original": image}

    score = partial(_score_image, scored, geometry, baselines)
    size = 1 if geometry.fit == "tiles" else BATCH_SIZE  # in tiles, a large image has batches itself
    starts = range(0, len(ids), size)
    with ThreadPoolExecutor(usable_cores()) as pool:
        ahead = pool.map(read, ids[:size])
        for start in progress(starts, "test images", len(starts)):
            following = start + size  # whose batch is read while this one is predicted
            current, ahead = ahead, pool.map(read, ids[following : following + size])
            batch = list(current)
            images = [image["network"].image for image in batch]
            predictions: list[dict[str, Prediction]] = [{} for _ in batch]
            for name, predictor in predictors.items():
                maps = predictor.network_probabilities(images)
                for of_image, probabilities in zip(predictions, maps, strict=True):
                    of_image[name] = Prediction(probabilities, predictor.threshold)
            list(pool.map(score, range(start, start + len(batch)), batch, predictions))
    return scored


def baselines(train: SegmentationDataset) -> dict[str, Prediction]:
    """Return two predictions that are the same for every image.

    All foreground, and the mask of what is foreground in at least half of the `train` images.
    """
    total = np.zeros((train.geometry.size, train.geometry.size), np.int64)
    with ThreadPoolExecutor(usable_cores()) as pool:
        masks = pool.map(train.read_mask, range(len(train)))
        for mask in progress(masks, "training masks", len(train)):
            total += mask
    share = (total / len(train)).astype(np.float32)  # of the images in which a pixel is foreground
    return {"all_foreground": Prediction(np.ones_like(share)), "mean_mask": Prediction(share)}


def read_test_image(raw: Path, image_id: str, foreground: Sequence[str]) -> LabelledImage:
    """Read an image and its trimap; raises `InputError` if one is missing or does not decode."""
    trimap = read_trimap(trimap_path(raw, image_id))
    target = foreground_mask(trimap, foreground)
    return LabelledImage(read_image(image_path(raw, image_id)), target, (trimap == BORDER).astype(np.uint8))


def _score_image(
    scored: Scored,
    geometry: Geometry,
    baselines: Mapping[str, Prediction],
    index: int,
    image: Mapping[str, LabelledImage],
    predictions: Mapping[str, Prediction],
) -> None:
    """Fill in the scores and facts of one image, given at each of `RESOLUTIONS`."""
    target = image["original"].target
    targets = {size: image[size].target.view(np.bool_) for size in RESOLUTIONS}
    inside = {size: image[size].border == 0 for size in RESOLUTIONS}
    masks = []
    for name, prediction in predictions.items():
        scores, predicted = scored.networks[name], _masks(prediction, geometry, target.shape)
        for size, mask in predicted.items():
            scores.counts[size][index] = count_pixels(mask, targets[size])
            scores.no_border[size][index] = count_pixels(mask, targets[size], inside[size])
        masks.append(predicted["original"].view(np.uint8))
        probabilities = torch.from_numpy(prediction.probabilities)
        bins, exact = to_bins(probabilities), probabilities.double()
        true = torch.from_numpy(image["network"].target)
        scores.soft[index] = soft_sums(exact[None], true[None])[0].numpy()
        scores.bins[index] = bin_counts(bins[None], true[None].bool())[0].numpy()
        scores.confidence[index] = torch.bincount(bins.flatten(), exact.flatten(), minlength=BINS).numpy()
    for name, prediction in baselines.items():
        for size, mask in _masks(prediction, geometry, target.shape).items():
            scored.baselines[name][size][index] = count_pixels(mask, targets[size])
    contours = boundary_iou(masks, target), surface_dice(masks, target), false_pixels(masks, target)
    for scores, *values in zip(scored.networks.values(), *contours, strict=True):
        scores.boundary_iou[index], scores.surface_dice[index], scores.false_pixels[index] = values
    for column, fact in zip(scored.facts, _facts(image["original"], masks), strict=True):
        column[index] = fact


def _masks(prediction: Prediction, geometry: Geometry, shape: tuple[int, int]) -> dict[str, BooleanMask]:
    """Return the predicted mask of an image of this `shape`, `(H, W)`, at each of `RESOLUTIONS`."""
    probabilities, threshold = prediction
    sizes = geometry.network_shape(*shape), shape
    masks = (is_foreground(geometry.to_image(probabilities, *size), threshold) for size in sizes)
    return dict(zip(RESOLUTIONS, masks, strict=True))


def count_pixels(predicted: BooleanMask, target: BooleanMask, inside: BooleanMask | None = None) -> Counts:
    """Count the pixels of two masks, or those `inside` of a third one: TP, FP, FN, TN."""
    pixels = target.size
    if inside is not None:
        predicted, target, pixels = predicted & inside, target & inside, int(np.count_nonzero(inside))
    both, positive, true = (np.count_nonzero(mask) for mask in (predicted & target, predicted, target))
    return np.array([both, positive - both, true - both, pixels - positive - true + both])


def _facts(image: LabelledImage, masks: Sequence[Mask]) -> tuple[float, ...]:
    """Return the fields of `ImageFacts` of one image, with the mask that each network predicts for it."""
    height, width = image.target.shape
    grey = cv2.cvtColor(image.image, cv2.COLOR_RGB2GRAY)  # 8 bits: photos may be large
    brightness, contrast = (value.item() / 255 for value in cv2.meanStdDev(grey))
    # Two empty or full masks agree about nothing: they are what networks answer that have learned nothing.
    says_something = all(mask.any() and not mask.all() for mask in masks)
    pairs = combinations([mask.view(np.bool_) for mask in masks], 2)
    agreement = min((float(dice(count_pixels(*pair))) for pair in pairs), default=0.0) * says_something
    share = np.count_nonzero(image.target) / image.target.size
    return height, width, share, brightness, contrast, agreement


def _zero_counts(count: int) -> CountsBySize:
    return {size: np.zeros((count, 4), np.int64) for size in RESOLUTIONS}
