"""What a person can follow while a network trains: the console, a CSV of the epochs, and TensorBoard."""

import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from segmentation.common.files import write_bytes
from segmentation.inference.dataset_pass import Runner
from segmentation.loading.cache import cached_bytes
from segmentation.loading.dataset import Batches
from segmentation.runtime.distributed import world
from segmentation.training.loop import Pace, Row


def start_line(train: Batches, val: Batches, runner: Runner) -> str:
    """What a run says of itself before the first epoch."""
    count, val_count, size = len(train.dataset), len(val.dataset), train.dataset.size
    where = runner.device.type + (f", {world()} processes" if world() > 1 else "")
    line = f"{count} pictures train, {val_count} validate; on {where} in {runner.precision}"
    if train.dataset.cache:
        return line
    wanted = cached_bytes(count + val_count, size)
    return f"{line}; decoded anew in each epoch, for want of {wanted:,} bytes (machine.cache_bytes, /dev/shm)"


def epoch_line(row: Row, epochs: int, pace: Pace) -> str:
    """One epoch of `epochs` on the console."""
    return (
        f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}  "
        f"loss {row['train_loss']:.4f}  dice {row['train_dice']:.4f}  "
        f"val loss {row['val_loss']:.4f}  val dice {row['val_dice']:.4f}  "
        f"{pace.speed:.0f} pictures/s, {pace.waiting:.1%} waiting for them"
    )


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write all epochs so far; the file is replaced, never appended to (see files.py)."""
    lines = [",".join(rows[0]), *(",".join(f"{value:.6g}" for value in row.values()) for row in rows)]
    write_bytes(path, ("\n".join(lines) + "\n").encode())


def open_board(folder: Path) -> SummaryWriter:
    """Start a TensorBoard run in a new folder, named by the time, under `folder`."""
    threading.excepthook = _left_to_the_main_thread
    return SummaryWriter(folder / datetime.now().strftime("%Y-%m-%d_%H-%M-%S"))


def _left_to_the_main_thread(error: threading.ExceptHookArgs) -> None:
    # The thread that writes the log prints what its next call in the main thread raises too.
    if not issubclass(error.exc_type, OSError):
        threading.__excepthook__(error)


def log_epoch(board: SummaryWriter, row: Row, pace: Pace | None = None) -> None:
    """Log one epoch's scalars; the pace is that of this run, so an earlier run's epochs have none."""
    epoch = row["epoch"]
    for part in ("train", "val"):
        board.add_scalar(f"loss/{part}", row[f"{part}_loss"], epoch)  # type: ignore[literal-required]
        board.add_scalar(f"dice/{part}", row[f"{part}_dice"], epoch)  # type: ignore[literal-required]
    board.add_scalar("dice_report/val", row["val_dice_report"], epoch)
    board.add_scalar("lr", row["lr"], epoch)
    if pace:
        board.add_scalar("pictures_per_second/train", pace.speed, epoch)
        board.add_scalar("share_of_time_waiting_for_pictures/train", pace.waiting, epoch)


def log_pictures(board: SummaryWriter, epoch: int, images: Tensor, masks: Tensor, predicted: Tensor) -> None:
    """Log pictures `(N, 3, H, W)` uint8 above truth and prediction `(N, 1, H, W)`, 0 or 1."""
    shown = [images, *(mask.expand_as(images) * 255 for mask in (masks, predicted))]
    board.add_images("validation: picture, truth, prediction", torch.cat(shown, dim=2), epoch)
    board.flush()
