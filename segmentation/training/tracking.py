"""What a person can follow while a network trains: the console, a CSV of the epochs, and TensorBoard."""

import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from segmentation.inference.runner import Runner
from segmentation.loading.cache import decoded_bytes
from segmentation.loading.transforms import Image, Mask
from segmentation.runtime.distributed import world_size
from segmentation.training.loader import Batches
from segmentation.training.loop import EpochMetrics, Throughput


def start_line(train: Batches, val: Batches, runner: Runner) -> str:
    """Describe a run before its first epoch."""
    count, val_count, size = len(train.dataset), len(val.dataset), train.dataset.size
    where = runner.device.type + (f", {world_size()} processes" if world_size() > 1 else "")
    line = f"{count} training images, {val_count} validation images; on {where} in {runner.precision}"
    if train.dataset.cache:
        return line
    needed = decoded_bytes(count + val_count, size)
    return f"{line}; decoded again in every epoch: a cache needs {needed:,} bytes (machine.cache_bytes)"


def epoch_line(metrics: EpochMetrics, epochs: int, throughput: Throughput) -> str:
    """Return the console's line for one epoch of `epochs`."""
    return (
        f"epoch {metrics['epoch']:>{len(str(epochs))}}/{epochs}  "
        f"loss {metrics['train_loss']:.4f}  dice {metrics['train_dice']:.4f}  "
        f"val loss {metrics['val_loss']:.4f}  val dice {metrics['val_dice']:.4f}  "
        f"{throughput.images_per_second:.0f} images/s, {throughput.waiting:.1%} waiting for data"
    )


def open_board(folder: Path) -> SummaryWriter:
    """Start a TensorBoard run in a new folder, named by the time, under `folder`."""
    threading.excepthook = _leave_to_the_main_thread
    return SummaryWriter(folder / datetime.now().strftime("%Y-%m-%d_%H-%M-%S"))


def _leave_to_the_main_thread(error: threading.ExceptHookArgs) -> None:
    # The thread that writes the log would print an error that the main thread's next call raises anyway.
    if not issubclass(error.exc_type, OSError):
        threading.__excepthook__(error)


def log_epoch(board: SummaryWriter, metrics: EpochMetrics, throughput: Throughput | None = None) -> None:
    """Log one epoch's scalars; epochs of an earlier run have no throughput."""
    epoch = metrics["epoch"]
    for part in ("train", "val"):
        board.add_scalar(f"loss/{part}", metrics[f"{part}_loss"], epoch)  # type: ignore[literal-required]
        board.add_scalar(f"dice/{part}", metrics[f"{part}_dice"], epoch)  # type: ignore[literal-required]
    board.add_scalar("dice_soft/val", metrics["val_dice_soft"], epoch)
    board.add_scalar("lr", metrics["lr"], epoch)
    if throughput:
        board.add_scalar("images_per_second/train", throughput.images_per_second, epoch)
        board.add_scalar("share_of_time_waiting_for_data/train", throughput.waiting, epoch)


def log_images(
    board: SummaryWriter,
    title: str,
    epoch: int,
    images: Sequence[Image],
    *masks: Sequence[Mask],
) -> None:
    """Log images, each above its masks, all of one size."""
    shown = [
        np.concatenate([image, *(np.repeat(mask[..., None] * 255, 3, axis=2) for mask in below)])
        for image, *below in zip(images, *masks, strict=True)
    ]
    board.add_images(title, np.stack(shown), epoch, dataformats="NHWC")
    board.flush()
