"""What each network answers for the test images, and how right it is, image by image."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from segmentation.common.cores import usable_cores
from segmentation.common.dataset_layout import BORDER, image_path, trimap_path
from segmentation.common.image_io import foreground_mask, read_image, read_trimap
from segmentation.evaluation.boundary import boundary_iou, surface_dice
from segmentation.evaluation.failures import false_pixels
from segmentation.geometry import Geometry, Image, Mask, Probabilities
from segmentation.inference.predictor import Predictor
from segmentation.loading.transforms import to_tensor
from segmentation.scoring.scores import Counts, Values, confusion_counts, dice, soft_sums
from segmentation.scoring.threshold import (
    BINS,
    DEFAULT_THRESHOLD,
    BinCounts,
    bin_counts,
    is_foreground,
    to_bins,
)

T = TypeVar("T")

BATCH_SIZE = 8


class LabelledImage(NamedTuple):
    """An image `(H, W, 3)`, its target and its trimap's border, `(H, W)` of 0 and 1."""

    image: Image
    target: Mask
    border: Mask


class AtSize(NamedTuple):
    """Counts of each image: at the answer's threshold, at 0.5, and without the pixels of the border."""

    counts: Counts
    at_half: Counts
    no_border: Counts


class Counted(NamedTuple):
    """Counts at the size of the network, and at each image's own size."""

    network: AtSize
    original: AtSize


class Answer(NamedTuple):
    """What is known of a network's answers.

    `soft`, `bins` and `confidence` are at the size of the network, what follows is at each image's own size.
    """

    counted: Counted
    soft: Values  # (N, 3): see scores.soft_sums
    bins: BinCounts
    confidence: Values  # (N, 100): sums of the probabilities in each bin
    boundary_iou: Values
    surface_dice: Values  # (N, 2): at 1 and 2 pixels
    false_pixels: NDArray[np.int64]  # (N, 4): see failures.KINDS


class ImageFacts(NamedTuple):
    """What is known of the test images; `agreement` is the lowest Dice between the masks of two networks."""

    height: NDArray[np.int64]
    width: NDArray[np.int64]
    foreground_share: Values
    brightness: Values  # mean grey value, in [0, 1]
    contrast: Values  # standard deviation of the grey values
    agreement: Values


class Scored(NamedTuple):
    """All that is known of N test images; networks and baselines by name."""

    networks: dict[str, Answer]
    baselines: dict[str, Counted]
    facts: ImageFacts


class Prediction(NamedTuple):
    """Probabilities of foreground, `(size, size)`, and that from which a pixel is foreground."""

    probabilities: Probabilities
    threshold: float = DEFAULT_THRESHOLD


def score_answers(
    raw: Path,
    ids: Sequence[str],
    foreground: Sequence[str],
    predictors: Mapping[str, Predictor],
    baselines: Mapping[str, Prediction],
) -> Scored:
    """Let every network predict every test image once, and hold that and the `baselines` against its mask.

    The networks must have the same geometry. Raises `InputError` if a file is missing or broken.
    """
    geometry, scored = next(iter(predictors.values())).geometry, list[Scored]()

    def read(image_id: str) -> tuple[LabelledImage, LabelledImage]:
        image = read_test_image(raw, image_id, foreground)
        return image, _to_network(image, geometry)

    def score(pair: tuple[LabelledImage, LabelledImage], predictions: Mapping[str, Prediction]) -> Scored:
        return _plain(_score_image(geometry, *pair, predictions, baselines))

    with ThreadPoolExecutor(usable_cores()) as pool:
        batches = _read_ahead(pool, read, ids)
        for pairs in tqdm(batches, "test images", -(-len(ids) // BATCH_SIZE), disable=None):
            images = torch.stack([to_tensor(square.image) for _, square in pairs])
            found = {
                name: each.square_probabilities(images)[:, 0].cpu().numpy()
                for name, each in predictors.items()
            }
            predictions = [
                {name: Prediction(found[name][i], each.threshold) for name, each in predictors.items()}
                for i in range(len(pairs))
            ]
            scored += pool.map(score, pairs, predictions)
    return _stacked(scored)


def read_test_image(raw: Path, image_id: str, foreground: Sequence[str]) -> LabelledImage:
    """Read an image and its trimap; raises `InputError` if one is missing or does not decode."""
    trimap = read_trimap(trimap_path(raw, image_id))
    target = foreground_mask(trimap, foreground)
    return LabelledImage(read_image(image_path(raw, image_id)), target, (trimap == BORDER).astype(np.uint8))


def _to_network(image: LabelledImage, geometry: Geometry) -> LabelledImage:
    masks = (geometry.mask_to_network(mask) for mask in (image.target, image.border))
    return LabelledImage(geometry.to_network(image.image), *masks)


def _score_image(
    geometry: Geometry,
    image: LabelledImage,
    square: LabelledImage,
    predictions: Mapping[str, Prediction],
    baselines: Mapping[str, Prediction],
) -> Scored:
    """Return what is known of one image; `square` is the same at the size of the networks."""
    networks, masks = {}, []
    for name, prediction in predictions.items():
        counted, mask = _count(geometry, prediction, image, square)
        networks[name] = _answer(prediction.probabilities, square.target, counted, mask, image.target)
        masks.append(mask)
    trivial = {name: _count(geometry, each, image, square)[0] for name, each in baselines.items()}
    return Scored(networks, trivial, _facts(image, masks))


def _count(
    geometry: Geometry, prediction: Prediction, image: LabelledImage, square: LabelledImage
) -> tuple[Counted, Mask]:
    """Return the counts at both sizes, and the mask at the image's own size."""
    probabilities, threshold = prediction
    own_size = geometry.to_image(probabilities, *image.target.shape)
    counted = Counted(_at_size(probabilities, threshold, square), _at_size(own_size, threshold, image))
    return counted, is_foreground(own_size, threshold).astype(np.uint8)


def _at_size(probabilities: Probabilities, threshold: float, image: LabelledImage) -> AtSize:
    predicted, inside = is_foreground(probabilities, threshold), image.border == 0
    return AtSize(
        counts=_mask_counts(predicted, image.target),
        at_half=_mask_counts(is_foreground(probabilities, DEFAULT_THRESHOLD), image.target),
        no_border=_mask_counts(predicted[inside], image.target[inside]),
    )


def _mask_counts(predicted: NDArray[Any], target: NDArray[Any]) -> Counts:
    """Count the pixels of two masks of 0 and 1 that have the same shape: TP, FP, FN, TN."""
    masks = (torch.from_numpy(each.astype(bool))[None] for each in (predicted, target))
    return confusion_counts(*masks)[0].numpy()


def _answer(
    probabilities: Probabilities, square_target: Mask, counted: Counted, mask: Mask, target: Mask
) -> Answer:
    answered, true = torch.from_numpy(probabilities)[None], torch.from_numpy(square_target)[None]
    bins = to_bins(answered)
    return Answer(
        counted=counted,
        soft=soft_sums(answered.double(), true)[0].numpy(),
        bins=bin_counts(bins, true.bool())[0].numpy(),
        confidence=torch.bincount(bins.flatten(), answered.flatten().double(), minlength=BINS).numpy(),
        boundary_iou=np.array(boundary_iou(mask, target)),
        surface_dice=np.array(surface_dice(mask, target)),
        false_pixels=np.array(false_pixels(mask, target)),
    )


def _facts(image: LabelledImage, masks: Sequence[Mask]) -> ImageFacts:
    height, width = image.target.shape
    grey = cv2.cvtColor(image.image, cv2.COLOR_RGB2GRAY)  # 8 bits: photos may be large
    # Two empty or full masks agree about nothing: they are what networks answer that have learned nothing.
    says_something = all(mask.any() and not mask.all() for mask in masks)
    agreement = [dice(_mask_counts(one, other)) * says_something for one, other in combinations(masks, 2)]
    brightness, contrast = grey.mean() / 255, grey.std() / 255
    values = (height, width, image.target.mean(), brightness, contrast, min(agreement, default=0.0))
    return ImageFacts(*map(np.asarray, values))


def _read_ahead(pool: ThreadPoolExecutor, read: Callable[[str], T], ids: Sequence[str]) -> Iterator[list[T]]:
    """Yield what `read` returns in batches, the next of which is read meanwhile."""
    batches = [ids[start : start + BATCH_SIZE] for start in range(0, len(ids), BATCH_SIZE)]
    reading = [pool.submit(read, each) for each in batches[0]]
    for following in [*batches[1:], []]:
        current, reading = reading, [pool.submit(read, each) for each in following]
        yield [each.result() for each in current]


def _plain(values: Any) -> Any:
    """Turn the arrays in named tuples and mappings into lists and numbers.

    Thousands of small arrays, kept between the large ones of each image, would keep the allocator from using
    the room of these again: 5.7 GB for 3,669 images.
    """
    if isinstance(values, dict):
        return {name: _plain(each) for name, each in values.items()}
    if isinstance(values, tuple):
        return type(values)(*map(_plain, values))
    return np.asarray(values).tolist()


def _stacked(items: Sequence[Any]) -> Any:
    """Turn what is known of each image, as `_plain` leaves it, into arrays over all images."""
    if isinstance(items[0], dict):
        return {name: _stacked([each[name] for each in items]) for name in items[0]}
    if isinstance(items[0], tuple):
        return type(items[0])(*map(_stacked, zip(*items, strict=True)))
    return np.array(items)
