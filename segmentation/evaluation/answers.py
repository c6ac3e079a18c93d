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
from segmentation.inference.predictor import Predictor
from segmentation.loading.transforms import (
    Image,
    Mask,
    resize_image,
    resize_mask,
    resize_probabilities,
    to_tensor,
)
from segmentation.scoring.scores import Counts, Values, confusion_counts, dice, soft_sums
from segmentation.scoring.threshold import BINS, DEFAULT_THRESHOLD, GRID, bin_counts, is_foreground

Probabilities = NDArray[np.float32]
T = TypeVar("T")

BATCH_SIZE = 8


class TestImage(NamedTuple):
    """A test image in its own size: `(H, W, 3)`, its target and its trimap's border, `(H, W)` of 0 and 1."""

    image: Image
    target: Mask
    border: Mask


class AtSize(NamedTuple):
    """Counts of each image: at the answer's threshold, at 0.5, and without the pixels of the border."""

    counts: Counts
    at_half: Counts
    no_border: Counts


class Answer(NamedTuple):
    """What is known of one answer for one image; `stacked`, each for N images.

    `bins` and `confidence` are the pixels by probability and mask, `(2, 100)`, and the sums of their
    probabilities, at the size of the network. Those from `boundary_iou` on are at the image's own size.
    """

    network: AtSize
    original: AtSize
    soft: Values  # (3,): see scores.soft_sums; at the size of the network
    bins: NDArray[np.int64]
    confidence: Values  # (100,)
    boundary_iou: Values
    surface_dice: Values  # (2,): at 1 and 2 pixels
    false_pixels: NDArray[np.int64]  # (4,): see failures.KINDS


class ImageFacts(NamedTuple):
    """What is known of a test image; `agreement` is the lowest Dice between the masks of two networks."""

    height: NDArray[np.int64]
    width: NDArray[np.int64]
    foreground_share: Values
    brightness: Values  # mean grey value, in [0, 1]
    contrast: Values  # standard deviation of the grey values
    agreement: Values


class Constant(NamedTuple):
    """An answer that is the same for all images: probabilities `(size, size)`."""

    probabilities: Probabilities
    threshold: float = DEFAULT_THRESHOLD


def score_answers(
    raw: Path,
    ids: Sequence[str],
    foreground: Sequence[str],
    predictors: Mapping[str, Predictor],
    constants: Mapping[str, Constant],
) -> tuple[dict[str, Answer], ImageFacts]:
    """Let every network predict every test image once; return all that is known of the answers, by name.

    The networks must have the same input size. Raises `InputError` if a file is missing or broken.
    """
    size = next(iter(predictors.values())).size
    thresholds = {name: each.threshold for name, each in predictors.items()}
    thresholds |= {name: each.threshold for name, each in constants.items()}
    answers: dict[str, list[Answer]] = {name: [] for name in thresholds}
    facts: list[ImageFacts] = []

    def score(image: TestImage, found: Mapping[str, Probabilities]) -> tuple[dict[str, Answer], ImageFacts]:
        scored = {
            name: _plain(_score(each, thresholds[name], image, size, everything=name in predictors))
            for name, each in found.items()
        }
        height, width = image.target.shape
        masks = [
            is_foreground(resize_probabilities(found[name], height, width), thresholds[name])
            for name in predictors
        ]
        return scored, _plain(_facts(image, masks))

    with ThreadPoolExecutor(usable_cores()) as pool:
        batches = _read_ahead(pool, lambda each: read_test_image(raw, each, foreground), ids)
        for images in tqdm(batches, "test images", -(-len(ids) // BATCH_SIZE), disable=None):
            squares = torch.stack([to_tensor(resize_image(each.image, size)) for each in images])
            found = {
                name: list(each.square_probabilities(squares)[:, 0].cpu().numpy())
                for name, each in predictors.items()
            } | {name: [each.probabilities] * len(images) for name, each in constants.items()}
            columns = [dict(zip(found, each, strict=True)) for each in zip(*found.values(), strict=True)]
            for scored, fact in pool.map(score, images, columns):
                facts.append(fact)
                for name, answer in scored.items():
                    answers[name].append(answer)
    return {name: _stacked(each) for name, each in answers.items()}, _stacked(facts)


def read_test_image(raw: Path, image_id: str, foreground: Sequence[str]) -> TestImage:
    """Read an image and its trimap; raises `InputError` if one is missing or does not decode."""
    trimap = read_trimap(trimap_path(raw, image_id))
    target = foreground_mask(trimap, foreground)
    return TestImage(read_image(image_path(raw, image_id)), target, (trimap == BORDER).astype(np.uint8))


def mask_counts(predicted: NDArray[Any], target: NDArray[Any]) -> Counts:
    """Count the pixels of two masks of 0 and 1 that have the same shape: TP, FP, FN, TN."""
    masks = (torch.from_numpy(each.astype(bool))[None] for each in (predicted, target))
    return confusion_counts(*masks)[0].numpy()


def _plain(values: Any) -> Any:
    """Turn named tuples of arrays into such of lists and numbers.

    Thousands of small arrays, kept between the large ones of each image, would keep the allocator from using
    the room of these again: 5.7 GB for 3,669 images.
    """
    if isinstance(values, tuple):
        return type(values)(*map(_plain, values))
    return np.asarray(values).tolist()


def _score(
    probabilities: Probabilities, threshold: float, image: TestImage, size: int, everything: bool
) -> Answer:
    target, border = resize_mask(image.target, size), resize_mask(image.border, size)
    own_size = resize_probabilities(probabilities, *image.target.shape)
    predicted = is_foreground(own_size, threshold).astype(np.uint8)
    answered, true = torch.from_numpy(probabilities)[None], torch.from_numpy(target)[None]
    bins, confidence = np.zeros((2, BINS), np.int64), np.zeros(BINS)
    if everything:
        bins = bin_counts(answered, true.bool())[0].numpy()
        places = torch.bucketize(answered.flatten(), torch.tensor(GRID), right=True)
        confidence = torch.bincount(places, answered.flatten().double(), minlength=BINS).numpy()
    return Answer(
        network=_at_size(probabilities, threshold, target, border),
        original=_at_size(own_size, threshold, image.target, image.border),
        soft=soft_sums(answered.double(), true)[0].numpy(),
        bins=bins,
        confidence=confidence,
        boundary_iou=np.array(boundary_iou(predicted, image.target) if everything else np.nan),
        surface_dice=np.array(surface_dice(predicted, image.target) if everything else [np.nan, np.nan]),
        false_pixels=np.array(false_pixels(predicted, image.target) if everything else [0, 0, 0, 0]),
    )


def _at_size(probabilities: Probabilities, threshold: float, target: Mask, border: Mask) -> AtSize:
    predicted, inside = is_foreground(probabilities, threshold), border == 0
    return AtSize(
        counts=mask_counts(predicted, target),
        at_half=mask_counts(is_foreground(probabilities, DEFAULT_THRESHOLD), target),
        no_border=mask_counts(predicted[inside], target[inside]),
    )


def _facts(image: TestImage, masks: Sequence[NDArray[np.bool_]]) -> ImageFacts:
    height, width = image.target.shape
    grey = cv2.cvtColor(image.image, cv2.COLOR_RGB2GRAY)  # 8 bits: photos may be large
    # Two empty or full masks agree about nothing: they are what networks answer that have learned nothing.
    says_something = all(mask.any() and not mask.all() for mask in masks)
    agreement = [dice(mask_counts(one, other)) * says_something for one, other in combinations(masks, 2)]
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


def _stacked(items: Sequence[Any]) -> Any:
    """Turn a list of named tuples of arrays into one named tuple of arrays."""
    if isinstance(items[0], tuple):
        return type(items[0])(*map(_stacked, zip(*items, strict=True)))
    return np.array(items)
