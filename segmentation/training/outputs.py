"""The outputs of a training: checkpoint, curves and summary, and what can be followed meanwhile."""

from collections.abc import Sequence
from typing import Any

from segmentation.common.artifacts import RUNS, checkpoint_path, curve_path, training_summary_path
from segmentation.common.files import fault, write_bytes, write_json
from segmentation.loading.dataset import SegmentationDataset
from segmentation.models.checkpoints import Metadata, checkpoint_bytes
from segmentation.params import Params
from segmentation.runtime.distributed import world_size
from segmentation.training.loop import EpochMetrics, FinishedEpoch
from segmentation.training.tracking import epoch_line, log_epoch, log_images, open_board, write_csv

SHOWN = 8  # validation images on TensorBoard


class Outputs:
    """The outputs of the training of `name`; `checkpoint` holds the file of the best epoch so far."""

    def __init__(
        self, name: str, params: Params, val: SegmentationDataset, started_from: str | None = None
    ) -> None:
        self.name, self.params, self.started_from = name, params, started_from
        self.checkpoint = b""
        self._runs = RUNS / name
        with fault(self._runs):
            self._board = open_board(self._runs)
        count = min(SHOWN, len(val))
        examples = [val.read(i * len(val) // count) for i in range(count)]  # the same in every epoch
        self._images, self._targets = zip(*examples, strict=True)

    def restore(self, history: Sequence[EpochMetrics], checkpoint: bytes) -> None:
        """Write again what the finished epochs of a stopped training had left."""
        self.checkpoint = checkpoint
        if history:
            write_csv(curve_path(self.name), history)
            write_bytes(checkpoint_path(self.name), self.checkpoint)
        with fault(self._runs):
            for metrics in history:
                log_epoch(self._board, metrics)

    def add(self, history: Sequence[EpochMetrics], epoch: FinishedEpoch) -> None:
        """Write the outputs of an epoch, the last one of `history`."""
        write_csv(curve_path(self.name), history)
        if self._best(history) is epoch.metrics:
            self.checkpoint = checkpoint_bytes(epoch.predictor.model, self._metadata(epoch))
            write_bytes(checkpoint_path(self.name), self.checkpoint)
        predictions = epoch.predictor.masks(self._images, own_size=False)
        with fault(self._runs):
            log_epoch(self._board, epoch.metrics, epoch.throughput)
            log_images(self._board, epoch.metrics["epoch"], self._images, self._targets, predictions)
        line = epoch_line(epoch.metrics, self.params.train.epochs, epoch.throughput)
        print(f"{self.name}: {line}", flush=True)

    def finish(self, history: Sequence[EpochMetrics]) -> None:
        """Write the summary of the whole training."""
        best = self._best(history)
        summary = {
            "val_dice": best["val_dice"],
            "val_dice_soft": best["val_dice_soft"],
            "epoch": best["epoch"],
            "epochs": len(history),
        }
        write_json(training_summary_path(self.name), summary)
        self._board.close()

    def _best(self, history: Sequence[EpochMetrics]) -> EpochMetrics:
        """Return the first epoch with the best validation score, by `train.monitor`."""
        if self.params.train.monitor == "dice":
            return max(history, key=lambda metrics: metrics["val_dice"])
        return max(history, key=lambda metrics: metrics["val_dice_soft"])

    def _metadata(self, epoch: FinishedEpoch) -> Metadata:
        params, predictor, runner = self.params, epoch.predictor, epoch.predictor.runner
        return Metadata(
            model=self.name,
            width=params.model.width,
            size=predictor.size,
            mean=runner.normalization.mean,
            std=runner.normalization.std,
            threshold=predictor.threshold,
            foreground=params.data.foreground,
            epoch=epoch.metrics["epoch"],
            val_dice=epoch.metrics["val_dice"],
            device=runner.device.type,
            processes=world_size(),
            precision=runner.precision,
            started_from=self.started_from,
            params=used_params(params),
        )


def used_params(params: Params) -> dict[str, Any]:
    """Return the params that decide what a training learns, as in `params.yaml`."""
    used = {group: getattr(params, group).model_dump() for group in ("image", "model", "augment", "train")}
    return used | {"data": {"foreground": params.data.foreground}}
