"""Prediction with an ONNX file that `tools.export` wrote, by onnxruntime."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segmentation.common.cores import usable_cores
from segmentation.common.errors import InputError
from segmentation.common.geometry import Geometry, Image, Probabilities
from segmentation.inference.predictor import Predictor, Runner
from segmentation.loading.transforms import NONE
from segmentation.params import ImageSettings


def fit_metadata(geometry: Geometry) -> dict[str, str]:
    """Return what a file says of how its network sees images; nothing in `stretch`, as older files."""
    if geometry.fit == "stretch":
        return {}
    values = {name: str(value) for name, value in geometry._asdict().items()}
    return values | {"fill": ",".join(map(str, geometry.fill)), "overlap": "0.5"}  # of windows: half of one


def read_windows(metadata: Mapping[str, str]) -> Geometry | None:
    """Return the geometry of a file whose windows slide; None: its graph does all. Raises `ValueError`."""
    if metadata.get("fit") != "tiles":
        return None
    red, green, blue = bytes(int(value) for value in metadata["fill"].split(","))
    settings = {name: metadata[name] for name in ("fit", "scale", "resize")}
    image = ImageSettings.model_validate(settings | {"size": int(metadata["size"]), "normalize": "none"})
    return Geometry(image.size, image.resize, image.fit, image.scale, (red, green, blue))


@dataclass(frozen=True)
class GraphRunner(Runner):
    """The network within a graph of `tiles`: it takes windows of resized images, and normalises by itself."""

    session: Any  # onnxruntime.InferenceSession, which has no types

    def logits(self, model: nn.Module, images: Tensor) -> Tensor:
        """Map windows `(N, 3, H, W)`, uint8, to float32 logits `(N, 1, H, W)`; `model` is not used."""
        inputs = {"images": images.permute(0, 2, 3, 1).numpy(), "scale": np.array(1.0)}
        (logits,) = self.session.run(["logits"], inputs)
        return torch.from_numpy(logits)[:, None, : images.shape[2], : images.shape[3]]


@dataclass(frozen=True)
class OnnxPredictor:
    """An ONNX file, ready to run: it resizes and normalises by itself. `tta` as in `Predictor`.

    Where windows slide over images, `windows` predicts; otherwise, the graph does all.
    """

    session: Any  # onnxruntime.InferenceSession, which has no types
    threshold: float
    tta: Literal["none", "flip"] = "none"
    windows: Predictor | None = None

    @classmethod
    def load(cls, path: Path) -> "OnnxPredictor":
        """Return the predictor of a file; raises `InputError` if it cannot be used."""
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        return cls.of_bytes(path.read_bytes(), str(path))

    @classmethod
    def of_bytes(cls, content: bytes, name: str) -> "OnnxPredictor":
        """Return the predictor of the content of a file; errors, which begin with `name`, as in `load`."""
        import onnxruntime

        try:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = usable_cores()  # its own default counts those that a quota forbids
            options.log_severity_level = 3  # errors: not that `scale` has a value and may have another
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            metadata = session.get_modelmeta().custom_metadata_map
            threshold, windows = float(metadata["threshold"]), read_windows(metadata)
            expected = ["images", *(["scale", "probabilities", "logits"] if windows else ["probabilities"])]
            inputs = (*session.get_inputs(), *session.get_overridable_initializers())
            names = [value.name for value in (*inputs, *session.get_outputs())]
            if names != expected or not 0 < threshold < 1:
                raise ValueError(f"inputs and outputs {names}, threshold {threshold}")
        except Exception as error:  # onnxruntime's errors have no common class
            problem = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
            raise InputError(f"{name}: not a file that `python -m tools.export` wrote ({problem})") from None
        runner = GraphRunner(torch.device("cpu"), "float32", NONE, session)
        predictor = Predictor(nn.Identity(), runner, windows, threshold) if windows else None
        return cls(session, threshold, windows=predictor)

    def probabilities(self, images: Sequence[Image], *, batch_size: int = 8) -> list[Probabilities]:
        """Return the probability of foreground `(H, W)` of each of the images `(H, W, 3)`, uint8, RGB.

        A batch of images of one size is computed at once, others one by one.
        """
        if self.windows:
            return dataclasses.replace(self.windows, tta=self.tta).probabilities(images, batch_size)
        results: list[Probabilities] = []
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            one_size = len({image.shape for image in batch}) == 1
            for stack in [np.stack(batch)] if one_size else [image[None] for image in batch]:
                maps = self.whole(stack)
                if self.tta == "flip":
                    maps = (maps + self.whole(stack[:, :, ::-1])[:, :, ::-1]) * np.float32(0.5)
                results += list(maps)
        return results

    def whole(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map images `(N, H, W, 3)` to probabilities `(N, H, W)`, without windows or `tta`."""
        (probabilities,) = self.session.run(["probabilities"], {"images": images})
        return np.asarray(probabilities, np.float32)
