"""The training loop: the steps of an epoch, then the scores on the validation images."""

import time
from collections.abc import Iterator
from datetime import timedelta
from fractions import Fraction
from math import ceil, isfinite
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from segmentation.common.errors import Fault
from segmentation.common.geometry import IGNORED
from segmentation.common.progress import progress
from segmentation.common.seeds import Purpose, torch_seed
from segmentation.common.signals import Interrupted, StopRequest
from segmentation.inference.predictor import Predictor, Runner
from segmentation.inference.windows import window_count
from segmentation.loading.dataset import Item, SegmentationDataset
from segmentation.loading.transforms import halve
from segmentation.params import Train
from segmentation.runtime.distributed import (
    all_gather,
    all_reduce_max,
    all_reduce_sum,
    average_gradients,
    rank,
    world_size,
)
from segmentation.scoring.scores import confusion_counts, dice, mean_soft_dice, tensor_dice
from segmentation.scoring.threshold import DEFAULT_THRESHOLD, choose_threshold, is_foreground
from segmentation.training.crops import TrainingCrops
from segmentation.training.loader import Batches, timed
from segmentation.training.losses import LOSSES
from segmentation.training.optimizer import Optimization
from segmentation.training.validation import EpochMetrics, ImageScores, score

# Share of the cost of training on an image of full size.
SCORING_COST = 1 / 3  # of an image: there is no backward pass
SMALL_COST = 1 / 4  # of training on an image of half the side


class Throughput(NamedTuple):
    """The speed of an epoch, and the share of its time spent waiting for images."""

    images_per_second: float
    waiting: float


class Training:
    """The training of `model`, in place: for each epoch, `train_epoch` and then `validate`.

    `epoch` and `step` say where it stands: in which of `epochs`, from 1, and after how many of its steps.
    `history` holds the finished epochs, `scores` those of each validation image after the latest one. If
    several processes train together, all must call each method together.
    """

    def __init__(
        self,
        model: nn.Module,
        train: Batches[TrainingCrops],
        val: Batches[SegmentationDataset],
        settings: Train,
        runner: Runner,
        stop: StopRequest,
    ) -> None:
        self.model, self.train, self.val = model, train, val
        self.settings, self.runner, self.stop = settings, runner, stop
        self.loss = LOSSES[settings.loss]
        self.epochs = max(settings.epochs, ceil(settings.min_steps / len(train)))
        self.optimization = Optimization(model, settings, len(train) * self.epochs, runner.precision)
        geometry = train.dataset.geometry
        self.predictor = Predictor(model, runner, geometry, DEFAULT_THRESHOLD)
        self.scored_windows = sum(window_count(*shape, geometry.size) for shape in val.dataset.shapes)
        # Exact: 0.29 * 100 is less than 29 in floating point.
        self.small_epochs = int(Fraction(str(settings.small_first)) * self.epochs)
        self.history: list[EpochMetrics] = []
        self.scores: ImageScores | None = None
        self.epoch, self.step, self.lr = 1, 0, self.optimization.lr  # lr: at the start of the epoch
        # Loss and Dice of this epoch's images so far, and their number; float32, for MPS has no float64.
        self.sums = torch.zeros(3, device=runner.device)
        self.throughput = Throughput(0.0, 0.0)  # of the latest epoch
        self._start: tuple[float, float] | None = None  # end of the first step, work left then

    @property
    def time_left(self) -> str:
        """The time left, by that since the first step, which prepares kernels; "?" until the second."""
        now, left = time.perf_counter(), self.work_left
        start, then = self._start = self._start or (now, left)
        return str(timedelta(seconds=round((now - start) / (then - left) * left))) if left < then else "?"

    @property
    def progress(self) -> str:
        """The progress so far, as text."""
        return f"after epoch {self.epoch - 1} of {self.epochs} and {self.step} of {len(self.train)} steps"

    @property
    def work_left(self) -> float:
        """The work that is left, as a number of windows of full size to train on."""
        images = len(self.train.dataset)
        done = (self.epoch - 1 + self.step / len(self.train)) * images
        small = max(0.0, self.small_epochs * images - done)
        scoring = (self.epochs - self.epoch + 1) * self.scored_windows
        return self.epochs * images - done - small + SMALL_COST * small + SCORING_COST * scoring

    def state_dict(self) -> dict[str, Any]:
        """Return all that the rest of the training depends on."""
        return {
            "model": self.model.state_dict(),
            "optimization": self.optimization.state_dicts(),
            "history": self.history,
            "position": [self.epoch, self.step],
            "lr": self.lr,
            # Of each process: in another order, sums round otherwise. At a stop, all are at one step.
            "sums": all_gather(self.sums.cpu()) if self.step else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from `state_dict()`: to the same bytes as without a stop, on the same machine."""
        self.model.load_state_dict(state["model"])
        self.optimization.load_state_dicts(state["optimization"])
        self.history, self.lr = state["history"], state["lr"]
        self.epoch, self.step = state["position"]
        if state["sums"]:
            self.sums = state["sums"][rank()].to(self.runner.device)

    def train_epoch(self) -> None:
        """Take the remaining steps of this epoch.

        Raises `Interrupted` after a step if a signal has asked to stop, `Fault` if the loss is not finite.
        """
        self.model.train()
        start, waited, images = time.perf_counter(), 0.0, 0
        checked_step, checked_at, next_check = self.step, start, self.step + 1
        if self.epoch == self.small_epochs + 1:
            self._start = None  # images of full size: other steps than before
        with progress_bar(f"epoch {self.epoch}", len(self.train), self.step) as bar:
            for batch, seconds in timed(self.train.epoch(self.epoch, skipped=self.step)):
                waited += seconds
                self._train_step(batch)
                images += len(batch[0]) * world_size()
                bar.update()
                stopping = self.stop.signum and world_size() == 1
                if self.step < next_check and self.step < len(self.train) and not stopping:
                    continue
                # About once a second: this waits for the device, and for the other processes. The first
                # process says when the next check is, because clocks differ.
                rate = (self.step - checked_step) / (time.perf_counter() - checked_at)
                self._check_loss(bar, rate)
                signum, ahead = all_reduce_max(self.stop.signum, max(1, round(rate)) if rank() == 0 else 0)
                checked_step, checked_at, next_check = self.step, time.perf_counter(), self.step + ahead
                if signum:
                    raise Interrupted(signum)
        seconds = max(1e-9, time.perf_counter() - start)
        self.throughput = Throughput(images / seconds, waited / seconds)

    def validate(self) -> EpochMetrics:
        """Score this epoch, add it to the `history` and go to the next one.

        Raises `Interrupted` between two batches if a signal has asked to stop, and `Fault` if the loss is not
        finite.
        """
        scores = self.scores = score(self.predictor, self._until_stopped(self.val.epoch()), self.loss)
        self._require_finite("validation", scores.loss)
        loss_sum, dice_sum, count = all_reduce_sum(self.sums).tolist()
        threshold, dice_at_threshold = choose_threshold(scores.bins)
        metrics = EpochMetrics(
            epoch=self.epoch,
            lr=self.lr,
            train_loss=loss_sum / count,
            train_dice=dice_sum / count,
            val_loss=scores.loss,
            val_dice=float(dice(scores.counts).mean()),
            val_dice_soft=mean_soft_dice(scores.soft),
            threshold=threshold,
            val_dice_threshold=dice_at_threshold,
        )
        self.history.append(metrics)
        self.epoch, self.step, self.lr = self.epoch + 1, 0, self.optimization.lr
        self.sums = torch.zeros_like(self.sums)
        return metrics

    def _train_step(self, batch: Item) -> None:
        # A stream for each step: nothing random has to be saved. Each process drops channels of its own,
        # because it sees other images.
        torch.manual_seed(torch_seed(Purpose.DROPOUT, self.settings.seed, self.epoch, self.step, rank()))
        images, masks, _ = batch
        covered = masks.to(self.runner.device, non_blocking=True) != IGNORED
        masks = self.runner.targets(masks)
        targets, seen = masks, covered
        if self.epoch <= self.small_epochs:
            # Howard 2018, "Now anyone can train Imagenet in 18 minutes" (fast.ai). Targets become soft.
            images, targets = halve(images.to(self.runner.device, non_blocking=True)), halve(masks)
            seen = halve(covered) == 1
        logits = self.runner.logits(self.model, images)
        counted = logits, targets
        if self.predictor.geometry.has_filling and not seen.all():
            counted = logits[seen], targets[seen]
        loss = self.loss.value(all_reduce_sum(self.loss.sums(*counted)))
        loss.backward()
        average_gradients(self.model)
        self.optimization.step()
        logits = logits.detach()
        if logits.shape != masks.shape:
            logits = F.interpolate(logits, masks.shape[-2:], mode="bilinear", align_corners=False)
        predicted = is_foreground(torch.sigmoid(logits), self.predictor.threshold) & covered
        scores = tensor_dice(confusion_counts(predicted, masks.bool()))
        count = torch.full_like(loss, len(images))
        self.sums += torch.stack([loss.detach() * count, scores.sum(), count])
        self.step += 1

    def _check_loss(self, bar: "tqdm[Any]", rate: float) -> None:
        """Raise `Fault` if the loss is not finite; show it, at `rate` steps a second."""
        loss_sum, dice_sum, count = self.sums.tolist()
        self._require_finite("training", loss_sum)
        shown = f"loss {loss_sum / count:.4f}, dice {dice_sum / count:.4f}"
        images = rate * self.settings.batch_size
        bar.set_postfix_str(f"{shown}, {images:.0f} images/s, {self.time_left} left", refresh=False)

    def _until_stopped(self, batches: Iterator[Item]) -> Iterator[Item]:
        (turns,) = all_reduce_max(len(self.val))  # all processes have to agree equally often
        with progress_bar("validation", turns) as bar:
            for _ in range(turns):
                (signum,) = all_reduce_max(self.stop.signum)
                if signum:
                    raise Interrupted(signum)
                if batch := next(batches, None):
                    yield batch
                bar.update()

    def _require_finite(self, part: str, loss: float) -> None:
        if not isfinite(loss):
            remedy = f"lower train.lr (now {self.settings.lr:g}), or set train.precision to float32"
            raise Fault(f"the {part} loss is {loss} in epoch {self.epoch}; {remedy}")


def progress_bar(title: str, total: int, initial: int = 0) -> "tqdm[Any]":
    """Return a progress bar of batches, shown by the first process."""
    line = "{desc}: step {n_fmt} of {total_fmt}{postfix}"  # no time left: that of the epoch says little
    bar = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{postfix}"
    return progress(None, title, total, initial=initial, line=line, bar=bar, hidden=rank() > 0)
