"""The training loop: from batches to one row of numbers per epoch."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from math import isfinite
from typing import NamedTuple, TypedDict

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from stages.segmentation.dataset import Batches, Pair
from stages.segmentation.errors import Fault
from stages.segmentation.inference import Runner, score
from stages.segmentation.losses import LOSSES
from stages.segmentation.optimization import Updates
from stages.segmentation.parallel import gathered, rank, summed, world
from stages.segmentation.params import Train
from stages.segmentation.scores import confusion_counts, dice, report_dice

REFRESH_S = 1.0  # how often the progress bar asks the device for numbers, and so waits for it

Step = tuple[Tensor, Tensor]  # the loss of a batch and the counts of its pictures


class Row(TypedDict):
    """One epoch. Dice is the mean over pictures at the threshold; `dice_report` is the report's soft score.

    Training scores are taken on the augmented pictures, with dropout, while the weights change.
    """

    epoch: int
    lr: float
    train_loss: float
    train_dice: float
    val_loss: float
    val_dice: float
    val_dice_report: float


class Pace(NamedTuple):
    """How fast an epoch was: pictures a second, and the share of its time spent waiting for pictures."""

    speed: float
    waiting: float


class Epoch(NamedTuple):
    """What an epoch leaves: its numbers, its pace and the network that was scored."""

    row: Row
    pace: Pace
    model: nn.Module


def fit(
    model: nn.Module, train: Batches, val: Batches, settings: Train, runner: Runner, threshold: float
) -> Iterator[Epoch]:
    """Train `model` in place and yield each epoch; the network scored is the average of the weights, if any.

    Where several processes train together, each calls this with the same network and gets the same rows.
    Raises `Fault` that names the epoch and the step where the loss is not finite.
    """
    loss, updates = LOSSES[settings.loss], Updates(model, settings, len(train) * settings.epochs)
    shared = DistributedDataParallel(model) if world() > 1 else model

    def step(images: Tensor, masks: Tensor, small: bool) -> Step:
        if small:
            images, masks = (halved(each.to(runner.device, non_blocking=True)) for each in (images, masks))
        truth, logits = runner.masks(masks), runner.logits(shared, images)
        value = loss(logits, truth, summed)
        value.backward()
        updates.take()
        return value.detach(), confusion_counts(torch.sigmoid(logits.detach()) >= threshold, truth.bool())

    for epoch in range(1, settings.epochs + 1):
        lr = updates.lr
        model.train()
        torch.manual_seed(_dropout_seed(settings.seed, epoch))
        small = epoch <= settings.small_first * settings.epochs
        train_loss, train_dice, pace = _train_epoch(epoch, train, partial(step, small=small), settings.lr)
        scored = score(updates.scored, val.epoch(0), runner, threshold, loss)
        if not isfinite(scored.loss):
            raise Fault(f"the validation loss is {scored.loss} after epoch {epoch}; {_advice(settings.lr)}")
        row = Row(
            epoch=epoch,
            lr=lr,
            train_loss=train_loss,
            train_dice=train_dice,
            val_loss=scored.loss,
            val_dice=float(dice(scored.counts).mean()),
            val_dice_report=report_dice(scored.soft),
        )
        yield Epoch(row, pace, updates.scored)


def halved(pixels: Tensor) -> Tensor:
    """Return uint8 pictures or masks `(N, C, H, W)` at half their size, each pixel the rounded mean of four.

    Small pictures first: what is coarse is learnt in a quarter of the time. Howard 2018, "Now anyone can
    train Imagenet in 18 minutes" (fast.ai).
    """
    return F.avg_pool2d(pixels.float(), 2).round().to(torch.uint8)


def _train_epoch(
    epoch: int, train: Batches, step: Callable[[Tensor, Tensor], Step], lr: float
) -> tuple[float, float, Pace]:
    """Take a step for each batch and return the mean loss and Dice; the bar waits for the device rarely."""
    steps: list[Step] = []
    started = refreshed = time.perf_counter()
    waited = 0.0
    quiet = True if rank() else None  # None: where there is no terminal
    with tqdm(total=len(train.dataset), desc=f"epoch {epoch}", unit="img", leave=False, disable=quiet) as bar:
        for (images, masks), seconds in _timed(train, epoch):
            waited += seconds
            steps.append(step(images, masks))
            if time.perf_counter() - refreshed > REFRESH_S:
                if world() == 1:  # several processes have to give up at the same step
                    _check_finite(epoch, steps, len(train), lr)
                mean_loss, mean_dice = _means(steps)
                bar.set_postfix(loss=f"{mean_loss:.4f}", dice=f"{mean_dice:.4f}", refresh=False)
                refreshed = time.perf_counter()
            bar.update(len(images) * world())
    _check_finite(epoch, steps, len(train), lr)
    mean_loss, mean_dice = _means(gathered(steps))
    taken = time.perf_counter() - started
    return mean_loss, mean_dice, Pace(len(train.dataset) / taken, waited / taken)


def _timed(batches: Batches, epoch: int) -> Iterator[tuple[Pair, float]]:
    """Yield each batch with the seconds it was waited for."""
    asked = time.perf_counter()
    for batch in batches.epoch(epoch):
        yield batch, time.perf_counter() - asked
        asked = time.perf_counter()


def _check_finite(epoch: int, steps: list[Step], count: int, lr: float) -> None:
    finite = torch.stack([value for value, _ in steps]).isfinite().int()
    if not finite.all():
        where = f"epoch {epoch}, step {int(finite.argmin()) + 1} of {count}"
        raise Fault(f"the training loss is not finite at {where}; {_advice(lr)}")


def _means(steps: list[Step]) -> tuple[float, float]:
    """Mean loss and mean Dice over the pictures of some steps; waits for the device."""
    losses, counts = zip(*steps, strict=True)
    sizes = torch.tensor([len(each) for each in counts])
    mean_loss = (torch.stack(losses).cpu().double() * sizes).sum() / sizes.sum()
    return float(mean_loss), float(dice(torch.cat(counts).cpu().numpy()).mean())


def _advice(lr: float) -> str:
    return f"lower train.lr (now {lr:g}), or set train.precision to float32"


def _dropout_seed(seed: int, epoch: int) -> int:
    # Derived per epoch, so that an epoch does not depend on what was drawn before it; each process drops
    # other channels, because it sees other pictures.
    return int(np.random.SeedSequence([seed, epoch, rank()]).generate_state(1, np.uint64)[0] >> np.uint64(1))
