"""Which network predicts: the better one, one by name, or a file that somebody shared."""

import dataclasses
import math
from contextlib import suppress
from pathlib import Path
from typing import Literal

from segmentation.common.artifacts import CHECKPOINTS, checkpoint_path, training_summary_path
from segmentation.common.errors import InputError
from segmentation.common.files import missing
from segmentation.inference.predictor import Predictor
from segmentation.models.build import check_name, network_names
from segmentation.models.checkpoints import is_untrained, load_checkpoint, warn
from segmentation.prediction.onnx_predictor import OnnxPredictor
from segmentation.workspace import LOCK, other_results

AnyPredictor = Predictor | OnnxPredictor


def load_predictor(
    file: Path, threshold: float | None = None, tta: Literal["none", "flip"] = "none"
) -> AnyPredictor:
    """Return the predictor of a checkpoint or ONNX file; `threshold` replaces the file's own.

    Raises `InputError` if the file cannot be read.
    """
    predictor = OnnxPredictor.load(file) if file.suffix.lower() == ".onnx" else Predictor.load(file)
    return dataclasses.replace(predictor, tta=tta, threshold=threshold or predictor.threshold)


def pixels_in_memory(predictor: AnyPredictor, width: int, height: int) -> int:
    """Return how many pixels of a photo are in memory: its own, or, if more, those that the network sees."""
    network = predictor if isinstance(predictor, Predictor) else predictor.windows
    shape = network.geometry.network_shape(height, width) if network else ()
    return max(width * height, math.prod(shape))


def choose_network(model: str | None) -> str:
    """Return `model`, or else the name of the best network on validation among those trained here.

    Raises `InputError` if there is no such network, or none was trained.
    """
    if model:
        try:
            return check_name(model)
        except ValueError as error:
            raise InputError(f"--model {model}: {error}") from None
    trained = trained_networks()
    if len(trained) > 1:  # checkpoints of format 1 do not hold their score
        trained.sort(key=lambda name: -(load_checkpoint(checkpoint_path(name)).meta.val_dice or 0))
    return trained[0]


def trained_networks() -> list[str]:
    """Return the names of the networks that were trained here; warn of one whose training has not come far.

    Raises `InputError` if there is none.
    """
    files = {name: file for name in network_names() if (file := checkpoint_path(name)).exists()}
    trained = [name for name, file in files.items() if not is_untrained(file)]
    if not trained:
        raise missing(CHECKPOINTS, "the training", "checkpoints")
    for name in network_names():
        if name not in files and LOCK.exists() and not training_summary_path(name).exists():
            warn(str(missing(checkpoint_path(name), f"train_{name}", "checkpoint")))
    return trained


def warn_of_results() -> None:
    """Warn of results of other params or data than those here, and of trainings that have not ended."""
    if other := other_results():
        warn(other)
    for name in network_names():
        with suppress(InputError):  # it does not have to be there
            load_checkpoint(checkpoint_path(name))
