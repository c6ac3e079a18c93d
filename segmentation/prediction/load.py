"""Which network predicts: the better one, one by name, or a file that somebody shared."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from segmentation.common.artifacts import CHECKPOINTS, checkpoint_path
from segmentation.common.errors import InputError
from segmentation.geometry import Image
from segmentation.inference.predictor import Predictor
from segmentation.models.build import check_name, network_names
from segmentation.models.checkpoints import Checkpoint, load_checkpoint
from segmentation.prediction.onnx_predictor import OnnxPredictor


class AnyPredictor(Protocol):
    """What predicts, be it with torch or with onnxruntime."""

    @property
    def threshold(self) -> float:
        """The probability from which a pixel is foreground."""

    def probabilities(self, images: Sequence[Image], *, batch_size: int = 8) -> list[NDArray[np.float32]]:
        """Return the probability of foreground `(H, W)` of each of the images `(H, W, 3)`, uint8, RGB."""


def choose_file(model: str | None, file: Path | None) -> Path:
    """Return `file`, or else the checkpoint of the network `model`, or of the best network that was trained.

    Raises `InputError` if there is no such network, or the best one cannot be determined.
    """
    return file or checkpoint_path(checked_name(model) if model else best_network())


def load_predictor(
    file: Path, threshold: float | None = None, tta: Literal["none", "flip"] = "none"
) -> AnyPredictor:
    """Return the predictor of a checkpoint or ONNX file; `threshold` replaces the file's own.

    Raises `InputError` if the file cannot be read.
    """
    if file.is_dir():
        raise InputError(f"{file}: is a folder, not a checkpoint")
    predictor = OnnxPredictor.load(file) if file.suffix.lower() == ".onnx" else Predictor.load(file)
    return dataclasses.replace(predictor, tta=tta, threshold=threshold or predictor.threshold)


def checked_name(model: str) -> str:
    """Return `model` if it is the name of a network; raises `InputError` otherwise."""
    try:
        return check_name(model)
    except ValueError as error:
        raise InputError(f"--model {model}: {error}") from None


def trained_networks() -> list[str]:
    """Return the names of the networks that were trained here; raises `InputError` if there is none."""
    trained = [name for name in network_names() if checkpoint_path(name).exists()]
    if not trained:
        raise InputError(f"{CHECKPOINTS}: no such checkpoints; train first (`make run`)")
    return trained


def best_network() -> str:
    """Return the name of the network with the best validation Dice among those trained here.

    Raises `InputError` if there is none, or if one of several does not hold its validation Dice.
    """
    trained = trained_networks()
    if len(trained) == 1:
        return trained[0]
    return max(trained, key=lambda name: _val_dice(load_checkpoint(checkpoint_path(name)), name))


def _val_dice(checkpoint: Checkpoint, name: str) -> float:
    if checkpoint.meta.val_dice is None:
        raise InputError(
            f"{checkpoint_path(name)}: does not hold its validation Dice, so the better network cannot be"
            " determined; choose one with --model"
        )
    return checkpoint.meta.val_dice
