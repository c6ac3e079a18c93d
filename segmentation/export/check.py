"""Whether an exported network predicts what the checkpoint predicts, on real images."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from segmentation.common.dataset_layout import image_path
from segmentation.common.errors import Fault
from segmentation.common.geometry import Image
from segmentation.common.image_io import read_image
from segmentation.export.graph import ImagesToProbabilities
from segmentation.inference.predictor import Predictor
from segmentation.prediction.onnx_predictor import OnnxPredictor
from segmentation.scoring.threshold import is_foreground

TOLERANCE = 1e-4  # of a probability, against the same graph in torch
AGREEMENT = 0.999  # of the pixels of the masks, against `tools.predict`


class ExportCheck(NamedTuple):
    """How an exported network compares with its checkpoint on `images` images."""

    images: int
    difference: float  # the largest of a probability, against the same graph in torch
    agreement: float  # share of mask pixels that are those of the checkpoint

    def __str__(self) -> str:
        return (
            f"{self.images} validation images: probabilities are within {self.difference:.1e} of torch's;"
            f" {self.agreement:.3%} of mask pixels agree"
        )

    def require(self) -> None:
        """Raise `Fault` unless the exported network may take the place of the checkpoint."""
        if not (self.difference <= TOLERANCE and self.agreement >= AGREEMENT):
            raise Fault(
                f"the exported network is not that of the checkpoint; nothing was written ({self}; allowed:"
                f" {TOLERANCE:.0e}, {AGREEMENT:.1%})"
            )


def compare(
    graph: ImagesToProbabilities, predictor: Predictor, exported: OnnxPredictor, images: Sequence[Image]
) -> ExportCheck:
    """Compare the exported network with its `graph` in torch, and with what `tools.predict` does.

    Where windows slide over images, graphs are compared on a corner of about two windows: an image as a whole
    may be too large for the memory.
    """
    geometry, difference, same = graph.geometry, 0.0, []
    side = int(2 * geometry.size / geometry.scale) + 1 if geometry.fit == "tiles" else None
    for image in images:
        corner = image[None, :side, :side].copy()
        with torch.inference_mode():
            result = graph(torch.from_numpy(corner))
        reference = (result[0] if geometry.fit == "tiles" else result).numpy()
        difference = np.maximum(difference, np.abs(exported.whole(corner) - reference).max())  # NaN stays
        (probabilities,) = exported.probabilities([image])
        same.append(is_foreground(probabilities, exported.threshold).ravel() == predictor.mask(image).ravel())
    return ExportCheck(len(images), float(difference), float(np.concatenate(same).mean()))


def with_precision(predictor: Predictor, precision: str) -> Predictor:
    """Return the predictor with another number format."""
    return dataclasses.replace(predictor, runner=dataclasses.replace(predictor.runner, precision=precision))


def read_images(raw: Path, ids: Sequence[str]) -> list[Image]:
    """Return images in their own sizes; a square one loses the last quarter of its rows.

    What squares hide, as height and width in the wrong order, then shows.
    """
    images = []
    for image_id in ids:
        image = read_image(image_path(raw, image_id))
        rows, columns, _ = image.shape
        images.append(image[: rows - rows // 4] if rows == columns else image)
    return images
