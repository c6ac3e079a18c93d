"""The training loop: from batches to one row of numbers per epoch."""

import time
from collections.abc import Callable, Iterator
from math import isfinite
from typing import Any, NamedTuple, TypedDict

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from segmentation.common.errors import Fault
from segmentation.inference.dataset_pass import Runner, score
from segmentation.loading.dataset import Batches, Pair
from segmentation.params import Train
from segmentation.runtime.devices import random_state, set_random_state
from segmentation.runtime.distributed import agreed, gathered, of_each, on_cpu, rank, summed, world
from segmentation.scoring.scores import confusion_counts, dice, report_dice
from segmentation.training.losses import LOSSES
from segmentation.training.optimizer import Updates

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


class Stopped(Exception):
    """Training was asked to end, and has done so between two steps; its argument is the signal."""


class Training:
    """The training of `model`, in place: `rows` holds the finished epochs.

    The network that is scored is the average of the weights, if any. Where several processes train together,
    each has the same network and gets the same rows. Every method is for all of them at once.
    """

    def __init__(
        self,
        model: nn.Module,
        train: Batches,
        val: Batches,
        settings: Train,
        runner: Runner,
        threshold: float,
    ) -> None:
        self.model, self.train, self.val = model, train, val
        self.settings, self.runner, self.threshold = settings, runner, threshold
        self.loss = LOSSES[settings.loss]
        self.updates = Updates(model, settings, len(train) * settings.epochs)
        self.shared = DistributedDataParallel(model) if world() > 1 else model
        self.rows: list[Row] = []
        self.steps: list[Step] = []  # of the epoch that is not finished, by this process
        self.lr = self.updates.lr  # at the beginning of that epoch

    @property
    def reached(self) -> str:
        """How far the training is."""
        epochs, steps = (
            f"{len(self.rows)} of {self.settings.epochs}",
            f"{len(self.steps)} of {len(self.train)}",
        )
        return f"after epoch {epochs} and {steps} steps"

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the training depends on, on the CPU."""
        own = {"steps": self.steps, "random": random_state(self.runner.device)}
        state = {
            "model": self.model.state_dict(),
            "updates": self.updates.state_dict(),
            "rows": self.rows,
            "lr": self.lr,
            "processes": of_each(own),
        }
        return on_cpu(state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()` as if there had been no end: to the same bytes on the same machine."""
        self.model.load_state_dict(state["model"])
        self.updates.load_state_dict(state["updates"])
        self.rows, self.lr = state["rows"], state["lr"]
        own, device = state["processes"][rank()], self.runner.device
        self.steps = [(loss.to(device), counts.to(device)) for loss, counts in own["steps"]]
        set_random_state(device, own["random"])

    def epochs(self, asked: Callable[[], int] = lambda: 0) -> Iterator[Epoch]:
        """Train to the end and yield each epoch.

        Raises `Stopped` after the step in which `asked` begins to return another number than 0, and `Fault`
        that names the epoch and the step where the loss is not finite.
        """
        while len(self.rows) < self.settings.epochs:
            epoch = len(self.rows) + 1
            self.model.train()
            if not self.steps:
                self.lr = self.updates.lr
                torch.manual_seed(_dropout_seed(self.settings.seed, epoch))
            pace = self._train_epoch(epoch, asked)
            train_loss, train_dice = _means(gathered(self.steps))
            # Processes score different numbers of batches: they cannot agree to stop between two of them.
            batches = self.val.epoch(0) if world() > 1 else _until(self.val.epoch(0), asked)
            scored = score(self.updates.scored, batches, self.runner, self.threshold, self.loss)
            if not isfinite(scored.loss):
                advice = _advice(self.settings.lr)
                raise Fault(f"the validation loss is {scored.loss} after epoch {epoch}; {advice}")
            row = Row(
                epoch=epoch,
                lr=self.lr,
                train_loss=train_loss,
                train_dice=train_dice,
                val_loss=scored.loss,
                val_dice=float(dice(scored.counts).mean()),
                val_dice_report=report_dice(scored.soft),
            )
            self.rows, self.steps = [*self.rows, row], []
            yield Epoch(row, pace, self.updates.scored)

    def _train_epoch(self, epoch: int, asked: Callable[[], int]) -> Pace:
        """Take the steps that are left; the bar asks the device for numbers, and so waits for it, rarely."""
        small = epoch <= self.settings.small_first * self.settings.epochs
        total, before = len(self.train.dataset), sum(len(counts) for _, counts in self.steps) * world()
        started = refreshed = time.perf_counter()
        waited = 0.0
        quiet = True if rank() else None  # None: where there is no terminal
        with tqdm(
            total=total, initial=before, desc=f"epoch {epoch}", unit="img", leave=False, disable=quiet
        ) as bar:
            for (images, masks), seconds in _timed(self.train.epoch(epoch, len(self.steps))):
                waited += seconds
                self.steps.append(self._step(images, masks, small))
                if time.perf_counter() - refreshed > REFRESH_S:
                    if world() == 1:  # several processes have to give up at the same step
                        self._check_finite(epoch)
                    mean_loss, mean_dice = _means(self.steps)
                    bar.set_postfix(loss=f"{mean_loss:.4f}", dice=f"{mean_dice:.4f}", refresh=False)
                    refreshed = time.perf_counter()
                bar.update(len(images) * world())
                if signum := agreed(asked()):
                    raise Stopped(signum)
        self._check_finite(epoch)
        taken = time.perf_counter() - started
        return Pace((total - before) / taken, waited / taken)

    def _step(self, images: Tensor, masks: Tensor, small: bool) -> Step:
        if small:
            images, masks = (
                halved(each.to(self.runner.device, non_blocking=True)) for each in (images, masks)
            )
        truth, logits = self.runner.masks(masks), self.runner.logits(self.shared, images)
        value = self.loss(logits, truth, summed)
        value.backward()
        self.updates.take()
        predicted = torch.sigmoid(logits.detach()) >= self.threshold
        return value.detach(), confusion_counts(predicted, truth.bool())

    def _check_finite(self, epoch: int) -> None:
        finite = torch.stack([value for value, _ in self.steps]).isfinite().int()
        if not finite.all():
            where = f"epoch {epoch}, step {int(finite.argmin()) + 1} of {len(self.train)}"
            raise Fault(f"the training loss is not finite at {where}; {_advice(self.settings.lr)}")


def halved(pixels: Tensor) -> Tensor:
    """Return uint8 pictures or masks `(N, C, H, W)` at half their size, each pixel the rounded mean of four.

    Small pictures first: what is coarse is learnt in a quarter of the time. Howard 2018, "Now anyone can
    train Imagenet in 18 minutes" (fast.ai).
    """
    return F.avg_pool2d(pixels.float(), 2).round().to(torch.uint8)


def _timed(batches: Iterator[Pair]) -> Iterator[tuple[Pair, float]]:
    """Yield each batch with the seconds it was waited for."""
    asked = time.perf_counter()
    for batch in batches:
        yield batch, time.perf_counter() - asked
        asked = time.perf_counter()


def _until(batches: Iterator[Pair], asked: Callable[[], int]) -> Iterator[Pair]:
    """Yield batches until this process is asked to end: it is `Stopped` then."""
    for batch in batches:
        if signum := asked():
            raise Stopped(signum)
        yield batch


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
