"""The training loop: the steps of an epoch, then the scores on the validation images."""

import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from math import ceil, isfinite
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from segmentation.common.errors import Fault
from segmentation.common.seeds import Purpose, torch_seed
from segmentation.common.signals import Interrupted, StopRequest
from segmentation.inference.predictor import Predictor
from segmentation.inference.runner import Runner
from segmentation.loading.dataset import Item
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
from segmentation.scoring.scores import (
    SOFT_DICE_BATCH,
    confusion_counts,
    dice,
    mean_soft_dice,
    tensor_dice,
)
from segmentation.scoring.threshold import DEFAULT_THRESHOLD, choose_threshold, is_foreground
from segmentation.training.dataset_pass import ImageScores, score
from segmentation.training.loader import Batches
from segmentation.training.losses import LOSSES
from segmentation.training.metrics import EpochMetrics, Throughput
from segmentation.training.optimizer import Optimization
from segmentation.training.pace import Pace, Work
from segmentation.training.progress import bar_of, timed


class Training:
    """The training of `model`, in place: for each epoch, `train_epoch` and then `validate`.

    `epoch` and `step` say where it stands: in which of `epochs`, from 1, and after how many of its steps.
    `history` holds the finished epochs, `scored` the scores of each image after the latest one, `predictor`
    the network that is scored. If several processes train
    together, all must call each method together. `announce` gets the estimated seconds of the rest (`Pace`).
    """

    def __init__(
        self,
        model: nn.Module,
        train: Batches,
        val: Batches,
        settings: Train,
        runner: Runner,
        stop: StopRequest,
        announce: Callable[[float], None] | None = None,
    ) -> None:
        self.model, self.train, self.val = model, train, val
        self.settings, self.runner, self.stop = settings, runner, stop
        self.loss = LOSSES[settings.loss]
        self.epochs = max(settings.epochs, ceil(settings.min_steps / len(train)))
        self.optimization = Optimization(model, settings, len(train) * self.epochs)
        self.predictor = Predictor(model, runner, train.dataset.geometry, DEFAULT_THRESHOLD)
        # Exact: 0.29 * 100 is less than 29 in floating point.
        self.small_epochs = int(Fraction(str(settings.small_first)) * self.epochs)
        self.history: list[EpochMetrics] = []
        self.scored: ImageScores | None = None
        self.epoch, self.step, self.lr = 1, 0, self.optimization.lr  # lr: at the start of the epoch
        # Loss and Dice of this epoch's images so far, and their number; float32, for MPS has no float64.
        self.sums = torch.zeros(3, device=runner.device)
        self.throughput = Throughput(0.0, 0.0)  # of the latest epoch
        images, val_images = len(train.dataset), len(val.dataset)
        self.pace = Pace(Work(self.epochs, self.small_epochs, images, val_images), announce)

    @property
    def progress(self) -> str:
        """The progress so far, as text."""
        epochs = f"{self.epoch - 1} of {self.epochs}"
        return f"after epoch {epochs} and {self.step} of {len(self.train)} steps"

    def state_dict(self) -> dict[str, Any]:
        """Return all that the rest of the training depends on."""
        return {
            "model": self.model.state_dict(),
            "optimization": self.optimization.state_dict(),
            "history": self.history,
            "position": [self.epoch, self.step],
            "lr": self.lr,
            # Of each process: in another order, sums round otherwise. At a stop, all are at one step.
            "sums": all_gather(self.sums.cpu()) if self.step else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from `state_dict()`: to the same bytes as without a stop, on the same machine."""
        self.model.load_state_dict(state["model"])
        self.optimization.load_state_dict(state["optimization"])
        self.history, self.lr = state["history"], state["lr"]
        self.epoch, self.step = state["position"]
        if state["sums"]:
            self.sums = state["sums"][rank()].to(self.runner.device)

    def train_epoch(self) -> None:
        """Take the remaining steps of this epoch.

        Raises `Interrupted` after a step if a signal has asked to stop, `Fault` if the loss is not finite.
        """
        self.model.train()
        before, started, waited, seen = self.step, time.perf_counter(), 0.0, 0
        looked, next_look = before, before + 1
        looked_at = started
        with bar_of(f"epoch {self.epoch}", len(self.train), before) as bar:
            for batch, seconds in timed(self.train.epoch(self.epoch, skipped=before)):
                waited += seconds
                self._train_step(batch)
                seen += len(batch[0]) * world_size()
                bar.update()
                asked = self.stop.signum if world_size() == 1 else 0
                if self.step < next_look and self.step < len(self.train) and not asked:
                    continue
                # About once a second: looking waits for the device, and for the other processes. The first
                # process says when to look next, because clocks differ.
                self._look(bar)
                rate = (self.step - looked) / (time.perf_counter() - looked_at)
                signum, ahead = all_reduce_max(self.stop.signum, max(1, round(rate)) if rank() == 0 else 0)
                looked, next_look, looked_at = self.step, self.step + ahead, time.perf_counter()
                if signum:
                    raise Interrupted(signum)
        taken = max(1e-9, time.perf_counter() - started)
        self.throughput = Throughput(seen / taken, waited / taken)

    def validate(self) -> EpochMetrics:
        """Score this epoch, add it to the `history` and go to the next one.

        Raises `Interrupted` between two batches if a signal has asked to stop, and `Fault` if the loss is not
        finite.
        """
        scored = self.scored = score(self.predictor, self._until_stopped(self.val.epoch()), self.loss)
        if not isfinite(scored.loss):
            raise self._not_finite("validation", scored.loss)
        loss_sum, dice_sum, count = all_reduce_sum(self.sums).tolist()
        threshold, dice_at_threshold = choose_threshold(scored.bins)
        metrics = EpochMetrics(
            epoch=self.epoch,
            lr=self.lr,
            train_loss=loss_sum / count,
            train_dice=dice_sum / count,
            val_loss=scored.loss,
            val_dice=float(dice(scored.counts).mean()),
            val_dice_soft=mean_soft_dice(scored.soft),
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
        targets = masks = self.runner.targets(masks)
        if self.epoch <= self.small_epochs:
            # Howard 2018, "Now anyone can train Imagenet in 18 minutes" (fast.ai). Targets become soft.
            images, targets = halve(images.to(self.runner.device, non_blocking=True)), halve(masks)
        logits = self.runner.logits(self.model, images)
        loss = self.loss.value(all_reduce_sum(self.loss.sums(logits, targets)))
        loss.backward()
        average_gradients(self.model)
        self.optimization.step()
        logits = logits.detach()
        if targets is not masks:
            logits = F.interpolate(logits, masks.shape[-2:], mode="bilinear", align_corners=False)
        predicted = is_foreground(torch.sigmoid(logits), self.predictor.threshold)
        scores = tensor_dice(confusion_counts(predicted, masks.bool()))
        count = torch.full_like(loss, len(images))
        self.sums += torch.stack([loss.detach() * count, scores.sum(), count])
        self.step += 1

    def try_step(self, batch_size: int, size: int) -> None:
        """Take a step on blank images and score some, to see whether that fits; the weights are lost.

        Raises `Interrupted` if a signal has asked to stop.
        """
        if self.stop.signum:
            raise Interrupted(self.stop.signum)
        self.optimization.zero_grad()
        self.epoch, self.step = self.epochs, 0
        images, masks = (
            torch.zeros(batch_size, channels, size, size, dtype=torch.uint8) for channels in (3, 1)
        )
        self._train_step((images, masks, torch.arange(batch_size)))
        with torch.inference_mode():
            self.predictor.logits(images[:1].expand(SOFT_DICE_BATCH, -1, -1, -1))

    def _look(self, bar: "tqdm[Any]") -> None:
        loss_sum, dice_sum, count = self.sums.tolist()
        if not isfinite(loss_sum):
            raise self._not_finite("training", loss_sum)
        shown = {"loss": f"{loss_sum / count:.4f}", "dice": f"{dice_sum / count:.4f}"}
        left = self.pace.look(self.epoch, self.step / len(self.train))
        bar.set_postfix(shown | left, refresh=False)

    def _until_stopped(self, batches: Iterator[Item]) -> Iterator[Item]:
        with bar_of("validation", self.val.turns) as bar:
            for _ in range(self.val.turns):  # of some the last one is empty: all have to agree equally often
                (signum,) = all_reduce_max(self.stop.signum)
                if signum:
                    raise Interrupted(signum)
                if batch := next(batches, None):
                    yield batch
                bar.update()

    def _not_finite(self, part: str, loss: float) -> Fault:
        return Fault(
            f"the {part} loss is {loss} in epoch {self.epoch}; lower train.lr (now {self.settings.lr:g}), or"
            " set train.precision to float32"
        )
