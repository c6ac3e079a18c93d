"""What a training leaves: its checkpoint, curves and metrics, and what can be followed meanwhile."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from segmentation.common.dataset_layout import CHECKPOINTS, METRICS, PLOTS, RUNS
from segmentation.common.files import fault, write_bytes, write_json
from segmentation.inference.dataset_pass import Runner, predict
from segmentation.loading.dataset import SegmentationDataset
from segmentation.models.checkpoints import Meta, checkpoint_bytes
from segmentation.params import Params
from segmentation.runtime.distributed import world
from segmentation.training.loop import Epoch, Row
from segmentation.training.tracking import epoch_line, log_epoch, log_pictures, open_board, write_csv

THRESHOLD = 0.5  # probability from which a pixel is foreground
SHOWN = 8  # validation pictures on TensorBoard


class Outputs:
    """The outputs of the training of `name`; `checkpoint` holds that of the best epoch so far."""

    def __init__(self, name: str, params: Params, runner: Runner, val: SegmentationDataset) -> None:
        self.name, self.params, self.runner = name, params, runner
        self.checkpoint = b""
        self._curve = PLOTS / f"train_{name}.csv"
        self._runs = RUNS / name
        with fault(self._runs):
            self._board = open_board(self._runs)
        self._images, self._masks = _evenly_spaced_pictures(val)

    def restore(self, rows: Sequence[Row], checkpoint: bytes) -> None:
        """Put back what the finished epochs of a training that was stopped had left."""
        self.checkpoint = checkpoint
        if rows:
            write_csv(self._curve, rows)
            self._write_checkpoint()
        with fault(self._runs):
            for row in rows:
                log_epoch(self._board, row)

    def add(self, rows: Sequence[Row], epoch: Epoch) -> None:
        """Take in an epoch, the last one of `rows`."""
        number = epoch.row["epoch"]
        write_csv(self._curve, rows)
        if self._best(rows) is epoch.row:
            self.checkpoint = checkpoint_bytes(epoch.model, self._meta(number))
            self._write_checkpoint()
        predicted = predict(epoch.model, self._images, self.runner, THRESHOLD)
        with fault(self._runs):
            log_epoch(self._board, epoch.row, epoch.pace)
            log_pictures(self._board, number, self._images, self._masks, predicted)
        print(f"{self.name}: {epoch_line(epoch.row, self.params.train.epochs, epoch.pace)}", flush=True)

    def finish(self, rows: Sequence[Row]) -> None:
        """Write the summary of the whole training."""
        best = self._best(rows)
        summary = {
            "val_dice": best["val_dice"],
            "val_dice_report": best["val_dice_report"],
            "epoch": best["epoch"],
        }
        write_json(METRICS / f"train_{self.name}.json", summary | {"epochs": len(rows)})
        self._board.close()

    def _best(self, rows: Sequence[Row]) -> Row:
        """The first epoch with the best validation score, by `train.monitor`."""
        if self.params.train.monitor == "dice":
            return max(rows, key=lambda row: row["val_dice"])
        return max(rows, key=lambda row: row["val_dice_report"])

    def _write_checkpoint(self) -> None:
        write_bytes(CHECKPOINTS / f"{self.name}.pt", self.checkpoint)

    def _meta(self, epoch: int) -> Meta:
        params, runner = self.params, self.runner
        return Meta(
            model=self.name,
            width=params.model.width,
            size=params.image.size,
            mean=runner.normalization.mean,
            std=runner.normalization.std,
            threshold=THRESHOLD,
            foreground=params.data.foreground,
            epoch=epoch,
            device=runner.device.type,
            processes=world(),
            precision=runner.precision,
            params=used_params(params),
        )


def used_params(params: Params) -> dict[str, Any]:
    """The params that decide what a training learns, as in `params.yaml`."""
    used = {group: getattr(params, group).model_dump() for group in ("image", "model", "augment", "train")}
    return used | {"data": {"foreground": params.data.foreground}}


def _evenly_spaced_pictures(dataset: SegmentationDataset) -> tuple[Tensor, Tensor]:
    """At most `SHOWN` pictures `(N, 3, H, W)` and their masks `(N, 1, H, W)`, the same in every epoch."""
    count = min(SHOWN, len(dataset))
    pairs = [dataset[0, i * len(dataset) // count] for i in range(count)]
    return torch.stack([image for image, _ in pairs]), torch.stack([mask for _, mask in pairs])
