"""What a person can follow while a network trains: the console, a CSV of the epochs, and TensorBoard."""

import tempfile
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import torch
import yaml
from torch.utils.tensorboard import SummaryWriter

from segmentation.common.artifacts import RUNS, checkpoint_path
from segmentation.common.geometry import Image, Mask
from segmentation.loading.cache import decoded_bytes
from segmentation.params import Params
from segmentation.runtime.distributed import world_size
from segmentation.runtime.memory import peak_memory
from segmentation.training.crops import MOST_CROPS
from segmentation.training.loop import Throughput, Training
from segmentation.training.validation import EpochMetrics


def start_line(training: Training) -> str:
    """Describe a run before its first epoch."""
    crops, runner = training.train.dataset, training.runner
    images, val = crops.images, training.val.dataset
    where = runner.device.type + (f", {world_size()} processes" if world_size() > 1 else "")
    line = f"{len(images)} training images, {len(val)} validation images; on {where} in {runner.precision}"
    if len(crops) > len(images):
        line += f"; {len(crops)} windows an epoch, at most {MOST_CROPS} of an image"
    if training.epochs > training.settings.epochs:
        line += f"; {training.epochs} epochs instead of {training.settings.epochs}, for train.min_steps"
    if not images.cache:
        needed = decoded_bytes([*images.shapes, *val.shapes])
        line += f"; decoded again in every epoch: a cache needs {needed:,} bytes (machine.cache_bytes)"
    return line


def best_line(name: str, best: EpochMetrics, epochs: int, monitor: str, device: torch.device) -> str:
    """Say which epoch of a whole training was the best, by `monitor`, and where its weights are."""
    score = best[f"val_{monitor}"]  # type: ignore[literal-required]
    return (
        f"best epoch {best['epoch']} of {epochs}, validation {monitor} {score:.4f}; Dice"
        f" {best['val_dice_threshold']:.4f} at threshold {best['threshold']}; {checkpoint_path(name)};"
        f" {peak_memory(device) / 1e9:.1f} GB of memory at most"
    )


def epoch_line(metrics: EpochMetrics, training: Training) -> str:
    """Return the console's line for the latest epoch."""
    epochs, throughput = training.epochs, training.throughput
    return (
        f"epoch {metrics['epoch']:>{len(str(epochs))}}/{epochs}  "
        f"loss {metrics['train_loss']:.4f}  dice {metrics['train_dice']:.4f}  "
        f"val loss {metrics['val_loss']:.4f}  val dice {metrics['val_dice']:.4f}  "
        f"{throughput.images_per_second:.0f} images/s, {throughput.waiting:.1%} waiting for data  "
        f"{peak_memory(training.runner.device) / 1e9:.1f} GB, {training.time_left} left"
    )


def runs_folder(name: str, here: Path) -> Path:
    """Return the folder of the TensorBoard runs of the network `name`, of a project in folder `here`.

    DVC runs queued experiments in copies, in .dvc/tmp/exps of the project: their runs join the others.
    """
    return Path(str(here).partition("/.dvc/tmp/exps/")[0]) / RUNS / name


def open_board(folder: Path, params: Params) -> SummaryWriter:
    """Start a TensorBoard run in a new folder under `folder`, named by the time and the commonest settings.

    All settings are in its text.
    """
    threading.excepthook = _leave_to_the_main_thread
    now, train = datetime.now().strftime("%Y-%m-%d_%H-%M-%S"), params.train
    what = f"{params.image.size}px_width{params.model.width}_lr{train.lr:g}_seed{train.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    run = Path(tempfile.mkdtemp(dir=folder, prefix=f"{now}_{what}_"))  # two may start in the same second
    run.chmod(0o755)
    board = SummaryWriter(run)
    text = yaml.safe_dump(params.model_dump(), sort_keys=False)
    board.add_text("params", "\n".join(f"    {line}" for line in text.splitlines()))  # indented: code
    return board


def _leave_to_the_main_thread(error: threading.ExceptHookArgs) -> None:
    # The thread that writes the log would print an error that the main thread's next call raises anyway.
    if not issubclass(error.exc_type, OSError):
        threading.__excepthook__(error)


def log_epoch(board: SummaryWriter, metrics: EpochMetrics, throughput: Throughput | None = None) -> None:
    """Log one epoch's scalars; epochs of an earlier run have no throughput."""
    for key, value in metrics.items():
        part, _, score = key.partition("_")
        if key != "epoch":
            board.add_scalar(f"{score}/{part}" if score else key, value, metrics["epoch"])
    if throughput:
        board.add_scalar("images_per_second/train", throughput.images_per_second, metrics["epoch"])
        board.add_scalar("share_of_time_waiting_for_data/train", throughput.waiting, metrics["epoch"])


def log_images(
    board: SummaryWriter, epoch: int, images: Sequence[Image], targets: Sequence[Mask], masks: Sequence[Mask]
) -> None:
    """Log images of one size, each above its target and its predicted mask."""
    shown = [
        np.concatenate([image, *(np.repeat(255 * mask[..., None], 3, axis=2) for mask in below)])
        for image, *below in zip(images, targets, masks, strict=True)
    ]
    board.add_images("validation: image, target, prediction", np.stack(shown), epoch, dataformats="NHWC")
    board.flush()
