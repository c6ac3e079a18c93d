"""Prediction with an ONNX file that `tools.export` wrote, by onnxruntime."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segmentation.common.cores import usable_cores
from segmentation.common.errors import InputError
from segmentation.common.geometry import Image, Probabilities

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
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = usable_cores()  # its own default counts those that a quota forbids
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            threshold = float(session.get_modelmeta().custom_metadata_map["threshold"])
            names = [value.name for value in (*session.get_inputs(), *session.get_outputs())]
            if names != ["images", "probabilities"] or not 0 < threshold < 1:
                raise ValueError(f"inputs and outputs {names}, threshold {threshold}")
        except Exception as error:  # onnxruntime's errors have no common class
            problem = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
            raise InputError(f"{name}: not a file that `python -m tools.export` wrote ({problem})") from None
        return cls(session, threshold)

    def probabilities(self, images: Sequence[Image], *, batch_size: int = 8) -> list[Probabilities]:
        """Return the probability of foreground `(H, W)` of each of the images `(H, W, 3)`, uint8, RGB.

        A batch of images of one size is computed at once, others one by one.
        """
        results: list[Probabilities] = []
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            if len({image.shape for image in batch}) == 1:
                results += list(self._probabilities(np.stack(batch)))
            else:
                results += [self._probabilities(image[None])[0] for image in batch]
        return results

    def _probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        probabilities = self._run(images)
        if self.tta == "flip":
            probabilities = (probabilities + self._run(images[:, :, ::-1])[:, :, ::-1]) * np.float32(0.5)
        return probabilities

    def _run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        (probabilities,) = self.session.run(None, {"images": images})
        return np.asarray(probabilities, np.float32)
