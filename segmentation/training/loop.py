"""The training loop: from batches to the metrics of each epoch."""

import time
from collections.abc import Callable, Iterable, Iterator
from math import isfinite
from typing import Any, NamedTuple, TypedDict

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from segmentation.common.errors import Fault
from segmentation.inference.dataset_pass import score
from segmentation.inference.predictor import Predictor
from segmentation.inference.runner import Runner
from segmentation.loading.dataset import Pair
from segmentation.loading.loader import Batches
from segmentation.loading.transforms import halve
from segmentation.params import Train
from segmentation.runtime.devices import random_state, set_random_state
from segmentation.runtime.distributed import (
    all_gather,
    all_gather_interleaved,
    all_reduce_max,
    all_reduce_sum,
    rank,
    to_cpu,
    world_size,
)
from segmentation.scoring.scores import confusion_counts, dice, mean_soft_dice
from segmentation.scoring.threshold import is_foreground
from segmentation.training.losses import LOSSES
from segmentation.training.optimizer import Optimization

REFRESH_S = 1.0  # between two updates of the progress bar, each of which waits for the device

StepResult = tuple[Tensor, Tensor]  # the loss of a batch and the counts of its images


class EpochMetrics(TypedDict):
    """One epoch: `dice` is the mean over images at the threshold, `dice_soft` the lab report's soft score.

    Training scores are taken on the augmented images, with dropout, while the weights change.
    """

    epoch: int
    lr: float
    train_loss: float
    train_dice: float
    val_loss: float
    val_dice: float
    val_dice_soft: float


class Throughput(NamedTuple):
    """The speed of an epoch, and the share of its time spent waiting for images."""

    images_per_second: float
    waiting: float


class FinishedEpoch(NamedTuple):
    """The result of an epoch; `predictor` holds the network that was scored."""

    metrics: EpochMetrics
    throughput: Throughput
    predictor: Predictor


class Stopped(Exception):
    """Training was asked to stop and did so between two steps; the argument is the signal."""


class Training:
    """The training of `model`, in place; `history` holds the finished epochs.

    The network that is scored is the average of the weights, if there is one. If several processes train
    together, each has the same network and the same history, and all must call each method together.
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
        self.settings, self.runner = settings, runner
        self.loss = LOSSES[settings.loss]
        self.optimization = Optimization(model, settings, len(train) * settings.epochs)
        self.predictor = Predictor(self.optimization.scored, runner, train.dataset.size, threshold)
        self.distributed = DistributedDataParallel(model) if world_size() > 1 else model
        self.history: list[EpochMetrics] = []
        self.steps: list[StepResult] = []  # of the unfinished epoch, of this process
        self.lr = self.optimization.lr  # at the start of that epoch

    @property
    def progress(self) -> str:
        """The progress so far, as text."""
        epochs = f"{len(self.history)} of {self.settings.epochs}"
        return f"after epoch {epochs} and {len(self.steps)} of {len(self.train)} steps"

    def state_dict(self) -> dict[str, Any]:
        """Return all that the rest of the training depends on, on the CPU."""
        own = {"steps": self.steps, "random": random_state(self.runner.device)}
        state = {
            "model": self.model.state_dict(),
            "optimization": self.optimization.state_dict(),
            "history": self.history,
            "lr": self.lr,
            "ranks": all_gather(own),
        }
        return to_cpu(state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from `state_dict()`: to the same bytes as without a stop, on the same machine."""
        self.model.load_state_dict(state["model"])
        self.optimization.load_state_dict(state["optimization"])
        self.history, self.lr = state["history"], state["lr"]
        own, device = state["ranks"][rank()], self.runner.device
        self.steps = [(loss.to(device), counts.to(device)) for loss, counts in own["steps"]]
        set_random_state(device, own["random"])

    def epochs(self, stop_signal: Callable[[], int] = lambda: 0) -> Iterator[FinishedEpoch]:
        """Train to the end and yield each epoch.

        Raises `Stopped` after the first step at whose end `stop_signal` returns a signal instead of 0, and
        `Fault` that names the epoch and the step if the loss is not finite.
        """
        while len(self.history) < self.settings.epochs:
            epoch = len(self.history) + 1
            self.model.train()
            if not self.steps:
                self.lr = self.optimization.lr
                torch.manual_seed(_dropout_seed(self.settings.seed, epoch))
            throughput = self._train_epoch(epoch, stop_signal)
            train_loss, train_dice = _means(all_gather_interleaved(self.steps))
            # Processes score different numbers of batches: they cannot agree to stop between two of them.
            bar = tqdm(self.val.epoch(0), "validation", len(self.val), leave=False, disable=_quiet())
            batches = bar if world_size() > 1 else _until(bar, stop_signal)
            scored = score(self.predictor, batches, self.loss)
            if not isfinite(scored.loss):
                advice = _advice(self.settings.lr)
                raise Fault(f"the validation loss is {scored.loss} after epoch {epoch}; {advice}")
            metrics = EpochMetrics(
                epoch=epoch,
                lr=self.lr,
                train_loss=train_loss,
                train_dice=train_dice,
                val_loss=scored.loss,
                val_dice=float(dice(scored.counts).mean()),
                val_dice_soft=mean_soft_dice(scored.soft),
            )
            self.history, self.steps = [*self.history, metrics], []
            yield FinishedEpoch(metrics, throughput, self.predictor)

    def _train_epoch(self, epoch: int, stop_signal: Callable[[], int]) -> Throughput:
        """Take the remaining steps of an epoch."""
        small = epoch <= self.settings.small_first * self.settings.epochs
        total, before = len(self.train.dataset), sum(len(counts) for _, counts in self.steps) * world_size()
        started = refreshed = time.perf_counter()
        waited = 0.0
        with tqdm(
            total=total, initial=before, desc=f"epoch {epoch}", unit="img", leave=False, disable=_quiet()
        ) as bar:
            for (images, masks), seconds in _timed(self.train.epoch(epoch, len(self.steps))):
                waited += seconds
                self.steps.append(self._step(images, masks, small))
                if time.perf_counter() - refreshed > REFRESH_S:
                    if world_size() == 1:  # several processes have to fail at the same step
                        self._check_finite(epoch)
                    mean_loss, mean_dice = _means(self.steps)
                    bar.set_postfix(loss=f"{mean_loss:.4f}", dice=f"{mean_dice:.4f}", refresh=False)
                    refreshed = time.perf_counter()
                bar.update(len(images) * world_size())
                if signum := all_reduce_max(stop_signal()):
                    raise Stopped(signum)
        self._check_finite(epoch)
        taken = time.perf_counter() - started
        return Throughput((total - before) / taken, waited / taken)

    def _step(self, images: Tensor, masks: Tensor, small: bool) -> StepResult:
        if small:  # Howard 2018, "Now anyone can train Imagenet in 18 minutes" (fast.ai)
            images, masks = (
                halve(each.to(self.runner.device, non_blocking=True)) for each in (images, masks)
            )
        targets, logits = self.runner.targets(masks), self.runner.logits(self.distributed, images)
        loss = self.loss(logits, targets, all_reduce_sum)
        loss.backward()
        self.optimization.step()
        predicted = is_foreground(torch.sigmoid(logits.detach()), self.predictor.threshold)
        return loss.detach(), confusion_counts(predicted, targets.bool())

    def _check_finite(self, epoch: int) -> None:
        finite = torch.stack([loss for loss, _ in self.steps]).isfinite().int()
        if not finite.all():
            where = f"epoch {epoch}, step {int(finite.argmin()) + 1} of {len(self.train)}"
            raise Fault(f"the training loss is not finite at {where}; {_advice(self.settings.lr)}")


def _timed(batches: Iterator[Pair]) -> Iterator[tuple[Pair, float]]:
    """Yield each batch with the seconds spent waiting for it."""
    requested = time.perf_counter()
    for batch in batches:
        yield batch, time.perf_counter() - requested
        requested = time.perf_counter()


def _quiet() -> bool | None:
    """Return what tqdm's `disable` should be: the first process shows a bar if there is a terminal."""
    return True if rank() else None


def _until(batches: Iterable[Pair], stop_signal: Callable[[], int]) -> Iterator[Pair]:
    """Yield batches; raise `Stopped` once this process is asked to stop."""
    for batch in batches:
        if signum := stop_signal():
            raise Stopped(signum)
        yield batch


def _means(steps: list[StepResult]) -> tuple[float, float]:
    """Return the mean loss and mean Dice over the images of some steps; waits for the device."""
    losses, counts = zip(*steps, strict=True)
    sizes = torch.tensor([len(each) for each in counts])
    mean_loss = (torch.stack(losses).cpu().double() * sizes).sum() / sizes.sum()
    return float(mean_loss), float(dice(torch.cat(counts).cpu().numpy()).mean())


def _advice(lr: float) -> str:
    return f"lower train.lr (now {lr:g}), or set train.precision to float32"


def _dropout_seed(seed: int, epoch: int) -> int:
    # Derived per epoch, so that an epoch does not depend on earlier draws. Each process drops other
    # channels, because it sees other images.
    return int(np.random.SeedSequence([seed, epoch, rank()]).generate_state(1, np.uint64)[0] >> np.uint64(1))
