"""The resize inside of exported networks is OpenCV's, and nothing that ran before stops an export."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from segmentation.common.geometry import Geometry
from segmentation.export.check import with_precision
from segmentation.export.graph import ImagesToProbabilities, to_onnx
from segmentation.export.resizing import to_network
from segmentation.inference.predictor import Predictor
from segmentation.models.checkpoints import load_checkpoint
from segmentation.prediction.onnx_predictor import OnnxPredictor

SIZES = [
    (375, 500),
    (500, 375),
    (93, 157),
    (333, 251),
    (128, 128),
    (512, 512),
    (256, 256),
    (40, 50),
    (1, 1),
    (3, 700),
    (1200, 900),
]


@pytest.mark.parametrize("size", [32, 96, 128, 256])
@pytest.mark.parametrize("shape", SIZES)
def test_it_is_that_of_opencv(shape: tuple[int, int], size: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, *shape, 3), dtype=np.uint8)
    expected = [cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR) for image in images]
    resized = to_network(torch.from_numpy(images), Geometry(size)).numpy()
    # Other processors may round the last bit in another way.
    assert np.abs(resized - np.stack(expected)).max() <= 1 and (resized == np.stack(expected)).mean() > 0.9999


@pytest.mark.parametrize("size", [32, 96, 128])
@pytest.mark.parametrize("shape", SIZES)
def test_area_is_that_of_geometry(shape: tuple[int, int], size: int) -> None:
    geometry = Geometry(size, "area")
    images = np.random.default_rng(0).integers(0, 256, (2, *shape, 3), dtype=np.uint8)
    expected = np.stack([geometry.to_network(image) for image in images])
    resized = to_network(torch.from_numpy(images), geometry).numpy()
    # OpenCV sums floating-point numbers, so that halves may be rounded in another way.
    assert np.abs(resized - expected).max() <= 1 and (resized == expected).mean() > 0.98


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_a_network_can_be_exported_after_it_has_predicted(precision: str, finished: Path) -> None:
    """Predicting sets how torch rounds, for the whole process, and `torch.export` reads that."""
    checkpoint = load_checkpoint(finished / "checkpoints/unet.pt")
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    predictor = with_precision(Predictor.from_checkpoint(checkpoint), precision)
    (expected,) = predictor.probabilities([image])
    exported = OnnxPredictor.of_bytes(to_onnx(ImagesToProbabilities(checkpoint), {"threshold": "0.5"}), "x")
    (probabilities,) = exported.probabilities([image])
    np.testing.assert_allclose(probabilities, expected, atol=0.05 if precision == "bf16" else 1e-4)
