"""The outputs of a training: checkpoint, curves and summary, and what can be followed meanwhile."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segmentation.common.artifacts import checkpoint_path, curve_path, training_summary_path
from segmentation.common.files import fault, write_bytes, write_json
from segmentation.common.geometry import cut
from segmentation.common.tables import csv_bytes
from segmentation.loading.dataset import SegmentationDataset
from segmentation.models.checkpoints import UNTRAINED, Metadata, checkpoint_bytes, fresh
from segmentation.params import Params
from segmentation.runtime.distributed import world_size
from segmentation.scoring.threshold import is_foreground
from segmentation.training import tracking
from segmentation.training.loop import Training
from segmentation.training.validation import EpochMetrics
from segmentation.training.warm_start import WarmStart

SHOWN = 8  # validation images on TensorBoard


class Outputs:
    """The outputs of the training of `name`; `best` holds weights and metadata of the best epoch so far."""

    def __init__(
        self, name: str, params: Params, val: SegmentationDataset, warm_start: WarmStart | None
    ) -> None:
        self.name, self.params, self.warm_start = name, params, warm_start
        self.best: tuple[dict[str, Tensor], Metadata] | None = None
        self._runs = tracking.runs_folder(name, Path.cwd())
        with fault(self._runs):
            self._board = tracking.open_board(self._runs, params)
        # The same in every epoch; of large images the middle: all of them would take as long as validation.
        count, size = min(SHOWN, len(val)), val.geometry.size
        shown = [val.read(i * len(val) // count) for i in range(count)]
        self._images = [_middle(image, size, val.geometry.fill) for image, _ in shown]
        self._targets = [_middle(mask, size, 0) for _, mask in shown]

    def add(self, metrics: EpochMetrics, training: Training) -> None:
        """Show the latest epoch, and keep its weights if they are the best."""
        best = self._best(training.history) is metrics
        if best:
            self.best = fresh(training.model.state_dict()), self._metadata(metrics, training)
        with fault(self._runs):
            tracking.log_epoch(self._board, metrics, training.throughput)
            if best:  # not of every epoch: few images have hundreds
                maps = training.predictor.network_probabilities(self._images)
                masks = [is_foreground(one, training.predictor.threshold).astype(np.uint8) for one in maps]
                tracking.log_images(self._board, metrics["epoch"], self._images, self._targets, masks)
        print(f"{self.name}: {tracking.epoch_line(metrics, training)}", flush=True)

    def write(self, training: Training) -> None:
        """Write the curve and the checkpoint of the best epoch."""
        if self.best:
            history, epochs = training.history, training.epochs
            so_far = (len(history), epochs) if len(history) < epochs else ()
            write_bytes(curve_path(self.name), csv_bytes(list(history[0]), history))
            write_bytes(checkpoint_path(self.name), checkpoint_bytes(*self.best, so_far))

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` takes."""
        weights, meta = self.best or ({}, None)
        return {"weights": weights, "meta": meta.model_dump_json() if meta else None}

    def load_state_dict(self, state: dict[str, Any], training: Training) -> None:
        """Write again what the finished epochs of a stopped training had left."""
        if state["meta"]:
            self.best = state["weights"], Metadata.model_validate_json(state["meta"])
        self.write(training)
        with fault(self._runs):
            for metrics in training.history:
                tracking.log_epoch(self._board, metrics)

    def finish(self, history: Sequence[EpochMetrics], device: torch.device) -> None:
        """Write the summary of the whole training."""
        best = self._best(history)
        keys = ("val_dice", "val_dice_soft", "threshold", "val_dice_threshold", "epoch")
        summary = {key: best[key] for key in keys} | {"epochs": len(history)}  # type: ignore[literal-required]
        if self.warm_start:
            summary["started_from"] = self.warm_start.sha256
        write_json(training_summary_path(self.name), summary)
        self._board.close()
        line = tracking.best_line(self.name, best, len(history), self.params.train.monitor, device)
        print(f"{self.name}: {line}", flush=True)

    def _best(self, history: Sequence[EpochMetrics]) -> EpochMetrics:
        """Return the first epoch with the best validation score, by `train.monitor`."""
        score = f"val_{self.params.train.monitor}"
        return max(history, key=lambda metrics: metrics[score])  # type: ignore[literal-required]

    def _metadata(self, metrics: EpochMetrics, training: Training) -> Metadata:
        params, predictor, runner = self.params, training.predictor, training.runner
        return Metadata(
            model=self.name,
            width=params.model.width,
            **predictor.geometry._asdict(),
            mean=runner.normalization.mean,
            std=runner.normalization.std,
            threshold=metrics["threshold"],
            foreground=params.data.foreground,
            epoch=metrics["epoch"],
            val_dice=metrics["val_dice"],
            device=runner.device.type,
            processes=world_size(),
            precision=runner.precision,
            started_from=self.warm_start.sha256 if self.warm_start else None,
            params=used_params(params),
        )


def write_untrained(name: str) -> None:
    """Write the outputs of a network that is not to be trained: a note for a checkpoint, no epochs."""
    write_bytes(curve_path(name), csv_bytes(list(EpochMetrics.__annotations__), []))
    write_json(training_summary_path(name), {})
    write_bytes(checkpoint_path(name), UNTRAINED)


def used_params(params: Params) -> dict[str, Any]:
    """Return the params that decide what a training learns, as in `params.yaml`."""
    used = {group: getattr(params, group).model_dump() for group in ("image", "model", "augment", "train")}
    return used | {"data": {"foreground": params.data.foreground}}


def _middle(pixels: NDArray[np.uint8], size: int, fill: int | tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return the window in the middle of an image or mask, `fill` where that is smaller."""
    top, left = ((side - size) // 2 for side in pixels.shape[:2])
    return cut(pixels, top, left, size, size, fill)
