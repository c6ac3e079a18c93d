"""The training loop: from batches to one row of numbers per epoch."""

import time
from collections.abc import Callable, Iterator
from math import cos, isfinite, pi
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from stages.segmentation.dataset import Batches
from stages.segmentation.errors import Fault
from stages.segmentation.inference import Runner, score
from stages.segmentation.losses import LOSSES
from stages.segmentation.params import Train
from stages.segmentation.scores import confusion_counts, dice, report_dice

REFRESH_S = 1.0  # how often the progress bar asks the device for numbers, and so waits for it


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


def make_optimizer(model: nn.Module, settings: Train) -> Optimizer:
    """Adam with L2 in the gradient (the report's) or AdamW with decoupled decay, as one fused kernel."""
    kind = {"adam": Adam, "adamw": AdamW}[settings.optimizer]
    return kind(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True)


def lr_factor(step: int, steps: int, schedule: str, warmup: float) -> float:
    """Return the learning rate at `step` (from 0) of `steps`, as a factor of its peak.

    It rises linearly over the share `warmup` of the steps, then stays, or falls to 0 along half a
    cosine (Loshchilov and Hutter 2016, arXiv:1608.03983).
    """
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / (rising + 1)
    if schedule == "constant":
        return 1.0
    return (1 + cos(pi * (step - rising) / max(1, steps - rising))) / 2


def fit(
    model: nn.Module, train: Batches, val: Batches, settings: Train, runner: Runner, threshold: float
) -> Iterator[tuple[Row, float]]:
    """Train `model` in place; after each epoch yield its row and the speed in training pictures a second.

    Raises `Fault` that names the epoch and the step where the loss is not finite.
    """
    optimizer, loss = make_optimizer(model, settings), LOSSES[settings.loss]
    steps = len(train) * settings.epochs
    schedule = LambdaLR(optimizer, lambda step: lr_factor(step, steps, settings.schedule, settings.warmup))

    def step(images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        truth, logits = runner.masks(masks), runner.logits(model, images)
        value = loss(logits, truth)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
        return value, confusion_counts(torch.sigmoid(logits.detach()) >= threshold, truth.bool())

    for epoch in range(1, settings.epochs + 1):
        lr, started = float(schedule.get_last_lr()[0]), time.perf_counter()
        model.train()
        torch.manual_seed(_dropout_seed(settings.seed, epoch))
        train_loss, train_dice = _train_epoch(epoch, train, step, settings.lr)
        speed = len(train.dataset) / (time.perf_counter() - started)
        scored = score(model, val.epoch(0), runner, threshold, loss)
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
        yield row, speed


def _train_epoch(
    epoch: int, train: Batches, step: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], lr: float
) -> tuple[float, float]:
    """Take a step for each batch and return the mean loss and Dice; the bar waits for the device rarely."""
    losses: list[Tensor] = []
    counts: list[Tensor] = []
    refreshed = time.perf_counter()
    with tqdm(total=len(train.dataset), desc=f"epoch {epoch}", unit="img", leave=False, disable=None) as bar:
        for images, masks in train.epoch(epoch):
            value, confusion = step(images, masks)
            losses.append(value.detach())
            counts.append(confusion)
            last = len(losses) == len(train)
            if last or time.perf_counter() - refreshed > REFRESH_S:
                mean_loss, mean_dice = _means(losses, counts)
                if not isfinite(mean_loss):
                    finite = torch.stack(losses).isfinite().int()
                    where = f"epoch {epoch}, step {int(finite.argmin()) + 1} of {len(train)}"
                    raise Fault(f"the training loss is not finite at {where}; {_advice(lr)}")
                bar.set_postfix(loss=f"{mean_loss:.4f}", dice=f"{mean_dice:.4f}", refresh=False)
                refreshed = time.perf_counter()
            bar.update(len(images))
    return mean_loss, mean_dice


def _means(losses: list[Tensor], counts: list[Tensor]) -> tuple[float, float]:
    """Mean loss and mean Dice over the pictures of some steps; waits for the device."""
    sizes = torch.tensor([len(each) for each in counts])
    mean_loss = (torch.stack(losses).cpu().double() * sizes).sum() / sizes.sum()
    return float(mean_loss), float(dice(torch.cat(counts).cpu().numpy()).mean())


def _advice(lr: float) -> str:
    return f"lower train.lr (now {lr:g}), or set train.precision to float32"


def _dropout_seed(seed: int, epoch: int) -> int:
    # Derived per epoch, so that an epoch does not depend on what was drawn before it.
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))
