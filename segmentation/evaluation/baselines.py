"""Trivial answers, which predict the same mask for every image."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from tqdm import tqdm

from segmentation.common.cores import usable_cores
from segmentation.inference.dataset_pass import ImageScores
from segmentation.loading.dataset import SegmentationDataset
from segmentation.loading.transforms import Mask
from segmentation.scoring.scores import confusion_counts, soft_sums


def score_baselines(test: SegmentationDataset, train: SegmentationDataset) -> dict[str, ImageScores]:
    """Score all foreground and the mean mask of the `train` images on the `test` images."""
    constants = {"all_foreground": np.ones((test.size, test.size), np.uint8), "mean_mask": mean_mask(train)}
    return {name: score_constant(mask, test) for name, mask in constants.items()}


def mean_mask(images: SegmentationDataset) -> Mask:
    """Return the mask `(size, size)` of the pixels that are foreground in at least half of the images."""
    total = np.zeros((images.size, images.size), np.int64)
    with ThreadPoolExecutor(usable_cores()) as pool:
        masks = pool.map(images.read_mask, range(len(images)))
        for mask in tqdm(masks, "training masks", len(images), unit="img", disable=None):
            total += mask
    return (2 * total >= len(images)).astype(np.uint8)


def score_constant(mask: Mask, images: SegmentationDataset) -> ImageScores:
    """Score the answer that predicts the same `mask`, `(size, size)`, for every image."""
    predicted = torch.from_numpy(mask)[None]
    targets = [torch.from_numpy(images.read_mask(index))[None] for index in range(len(images))]
    counts = [confusion_counts(predicted.bool(), target.bool()) for target in targets]
    soft = [soft_sums(predicted.double(), target.double()) for target in targets]
    return ImageScores(torch.cat(counts).numpy(), torch.cat(soft).numpy(), loss=0.0)
