"""From gradients to weights: optimizers and learning rate."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR

from segmentation.params import Train
from segmentation.training.muon import Muon


def make_optimizers(weights: Iterable[Tensor], settings: Train, precision: str) -> list[Optimizer]:
    """Return the optimizers of a training in `precision`; each weight belongs to exactly one.

    Adam has L2 in the gradient (the lab report's), the others decoupled decay. Muon takes matrices and
    kernels, the first convolution too. Vectors go to AdamW, and so does the head's kernel: it is a single
    row, which orthogonalizing would only normalise.
    """
    rate, decay = settings.lr, settings.weight_decay
    if settings.optimizer == "muon":
        weights = list(weights)
        matrices = [weight for weight in weights if weight.dim() > 1 and len(weight) > 1]
        rest = [weight for weight in weights if weight.dim() < 2 or len(weight) == 1]
        muon = Muon(matrices, rate, decay, bf16=precision == "bf16")
        return [muon, AdamW(rest, rate, weight_decay=decay, fused=True)]
    kind = {"adam": Adam, "adamw": AdamW}[settings.optimizer]
    return [kind(weights, rate, weight_decay=decay, fused=True)]


def in_memory_order(values: Tensor, weight: Tensor) -> Tensor:
    """Return a view of `values`, a weight or its gradient, in the order in which the weight is stored.

    Fused kernels copy the weights, gradients and moments of convolutions that are stored channels last, and
    copy them back: Adam took twice as long.
    """
    channels_last = weight.dim() == 4 and weight.is_contiguous(memory_format=torch.channels_last)
    return values.detach().permute(0, 2, 3, 1) if channels_last else values.detach()


def make_schedule(optimizer: Optimizer, settings: Train, steps: int) -> LRScheduler:
    """Return the learning rate of each of `steps`.

    It rises linearly over the share `warmup` of the steps, then stays, or falls to 0 along half a cosine
    (Loshchilov and Hutter 2016, arXiv:1608.03983).
    """
    rising = round(settings.warmup * steps)
    rest: LRScheduler = ConstantLR(optimizer, factor=1.0)
    if settings.schedule == "cosine":
        rest = CosineAnnealingLR(optimizer, T_max=max(1, steps - rising))
    if not rising:
        return rest
    rise = LinearLR(optimizer, start_factor=1 / (rising + 1), total_iters=rising)
    return SequentialLR(optimizer, [rise, rest], milestones=[rising])


class Optimization:
    """The updates of a network's weights in a training in `precision`, `steps` in all."""

    def __init__(self, model: nn.Module, settings: Train, steps: int, precision: str) -> None:
        self.weights = list(model.parameters())
        self.views = [in_memory_order(weight, weight) for weight in self.weights]
        optimizers = make_optimizers(self.views, settings, precision)
        self.schedules = [make_schedule(optimizer, settings, steps) for optimizer in optimizers]
        self.parts: list[Optimizer | LRScheduler] = [*optimizers, *self.schedules]

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return float(self.schedules[0].get_last_lr()[0])

    def step(self) -> None:
        """Update the weights by their gradients, then clear the gradients."""
        for view, weight in zip(self.views, self.weights, strict=True):
            view.grad = None if weight.grad is None else in_memory_order(weight.grad, weight)
        for part in self.parts:  # the optimizers first
            part.step()
        for tensor in (*self.views, *self.weights):
            tensor.grad = None

    def state_dicts(self) -> list[dict[str, Any]]:
        """Return all that the coming updates depend on, except for the weights."""
        return [part.state_dict() for part in self.parts]

    def load_state_dicts(self, states: list[dict[str, Any]]) -> None:
        """Resume from `state_dicts()`."""
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)
