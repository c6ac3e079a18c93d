"""Prediction with an ONNX file that `tools.export` wrote, by onnxruntime."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segmentation.common.errors import InputError
from segmentation.loading.transforms import Image

REQUIREMENTS = "requirements-export.txt"


@dataclass(frozen=True)
class OnnxPredictor:
    """An ONNX file, ready to run: it resizes and normalises by itself. `tta` as in `Predictor`."""

    session: Any  # onnxruntime.InferenceSession, which has no types
    threshold: float
    tta: Literal["none", "flip"] = "none"

    @classmethod
    def load(cls, path: Path) -> "OnnxPredictor":
        """Return the predictor of a file; raises `InputError` if it or onnxruntime cannot be used."""
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        return cls.of_bytes(path.read_bytes(), str(path))

    @classmethod
    def of_bytes(cls, content: bytes, name: str) -> "OnnxPredictor":
        """Return the predictor of the content of a file; errors, which begin with `name`, as in `load`."""
        try:
            import onnxruntime
        except ImportError:
            raise InputError(f"{name}: needs onnxruntime; `pip install -r {REQUIREMENTS}`") from None
        try:
            session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
            threshold = float(session.get_modelmeta().custom_metadata_map["threshold"])
        except Exception as error:  # onnxruntime's errors have no common class
            problem = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
            raise InputError(f"{name}: not a file that `python -m tools.export` wrote ({problem})") from None
        return cls(session, threshold)

    def probabilities(self, images: Sequence[Image]) -> list[NDArray[np.float32]]:
        """Return the probability of foreground `(H, W)` of each of the images `(H, W, 3)`, uint8, RGB."""
        if len({image.shape for image in images}) == 1:
            return list(self._probabilities(np.stack(images)))
        return [self._probabilities(image[None])[0] for image in images]

    def _probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        found = self._run(images)
        if self.tta == "flip":
            found = (found + self._run(images[:, :, ::-1])[:, :, ::-1]) * np.float32(0.5)
        return found

    def _run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        (found,) = self.session.run(None, {"images": images})
        return np.asarray(found, np.float32)
