"""Whether an exported network predicts what the checkpoint predicts, on real images."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from segmentation.common.errors import Fault
from segmentation.common.geometry import Image, Mask
from segmentation.evaluation.prediction_scores import count_pixels, read_test_image
from segmentation.export.graph import ImagesToProbabilities
from segmentation.inference.predictor import Predictor
from segmentation.prediction.load import AnyPredictor
from segmentation.prediction.onnx_predictor import OnnxPredictor
from segmentation.scoring.scores import dice
from segmentation.scoring.threshold import is_foreground

TOLERANCE = 1e-4  # of a probability, against the same graph in torch
AGREEMENT = 0.999  # of the pixels of the masks, against `tools.predict`


class ExportCheck(NamedTuple):
    """How an exported network compares with its checkpoint on `images` images."""

    images: int
    difference: float  # the largest of a probability, against the same graph in torch
    agreement: float  # share of mask pixels that are those of the checkpoint
    dice: float  # mean over the images, of the checkpoint
    dice_onnx: float

    def __str__(self) -> str:
        return (
            f"{self.images} validation images: probabilities are within {self.difference:.1e} of torch's;"
            f" {self.agreement:.3%} of mask pixels agree; mean Dice {self.dice_onnx:.4f} (checkpoint"
            f" {self.dice:.4f}, change {self.dice_onnx - self.dice:+.4f})"
        )

    def require(self) -> None:
        """Raise `Fault` unless the exported network may take the place of the checkpoint."""
        if not (self.difference <= TOLERANCE and self.agreement >= AGREEMENT):
            raise Fault(
                f"the exported network is not that of the checkpoint; nothing was written ({self}; allowed:"
                f" {TOLERANCE:.0e}, {AGREEMENT:.1%})"
            )


def compare(
    graph: ImagesToProbabilities,
    predictor: Predictor,
    exported: OnnxPredictor,
    samples: Sequence[tuple[Image, Mask]],
) -> ExportCheck:
    """Compare the exported network with its `graph` in torch, and with what `tools.predict` does.

    Where windows slide over images, graphs are compared on a corner of about two windows: an image as a whole
    may be too large for the memory.
    """
    geometry, difference, same = graph.geometry, 0.0, []
    side = int(2 * geometry.size / geometry.scale) + 1 if geometry.fit == "tiles" else None
    for image, _ in samples:
        corner = image[None, :side, :side].copy()
        with torch.inference_mode():
            result = graph(torch.from_numpy(corner))
        reference = (result[0] if geometry.fit == "tiles" else result).numpy()
        difference = np.maximum(difference, np.abs(exported.whole(corner) - reference).max())  # NaN stays
        (probabilities,) = exported.probabilities([image])
        same.append(is_foreground(probabilities, exported.threshold).ravel() == predictor.mask(image).ravel())
    agreement = float(np.concatenate(same).mean())
    scores = (mean_dice(side, samples) for side in (predictor, exported))
    return ExportCheck(len(samples), float(difference), agreement, *scores)


def mean_dice(predictor: AnyPredictor, samples: Sequence[tuple[Image, Mask]]) -> float:
    """Return the mean Dice over images, with their masks, in their own sizes."""
    scores = []
    for image, target in samples:
        (probabilities,) = predictor.probabilities([image])
        mask = is_foreground(probabilities, predictor.threshold)
        scores.append(float(dice(count_pixels(mask, target.view(np.bool_)))))
    return float(np.mean(scores))


def with_precision(predictor: Predictor, precision: str) -> Predictor:
    """Return the predictor with another number format."""
    return dataclasses.replace(predictor, runner=dataclasses.replace(predictor.runner, precision=precision))


def read_samples(raw: Path, ids: Sequence[str], foreground: Sequence[str]) -> list[tuple[Image, Mask]]:
    """Return images and masks in their own sizes; a square one loses the last quarter of its rows.

    What squares hide, as height and width in the wrong order, then shows.
    """
    samples = []
    for image_id in ids:
        image, mask, _ = read_test_image(raw, image_id, foreground)
        height, width = mask.shape
        rows = height - height // 4 if height == width else height
        samples.append((image[:rows], mask[:rows]))
    return samples
