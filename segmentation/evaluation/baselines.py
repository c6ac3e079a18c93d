"""Trivial answers, which predict the same mask for every image."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tqdm import tqdm

from segmentation.common.cores import usable_cores
from segmentation.evaluation.prediction_scores import Prediction
from segmentation.geometry import Probabilities
from segmentation.loading.dataset import SegmentationDataset


def baselines(train: SegmentationDataset) -> dict[str, Prediction]:
    """Return all foreground, and the mask of what is foreground in at least half of the `train` images."""
    everything = np.ones((train.size, train.size), np.float32)
    return {"all_foreground": Prediction(everything), "mean_mask": Prediction(mean_mask(train))}


def mean_mask(images: SegmentationDataset) -> Probabilities:
    """Return the share of the images in which each pixel `(size, size)` is foreground."""
    total = np.zeros((images.size, images.size), np.int64)
    with ThreadPoolExecutor(usable_cores()) as pool:
        masks = pool.map(images.read_mask, range(len(images)))
        for mask in tqdm(masks, "training masks", len(images), unit="img", disable=None):
            total += mask
    return (total / len(images)).astype(np.float32)
