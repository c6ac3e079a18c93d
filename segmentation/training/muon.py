"""Muon: momentum whose matrices are made orthogonal before a step."""

from collections.abc import Callable, Iterable
from math import sqrt
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

MOMENTUM = 0.95
# Of Newton and Schulz's iteration by Jordan: after five rounds singular values lie between some 0.7 and 1.2.
LINEAR, CUBIC, QUINTIC, ROUNDS = 3.4445, -4.7750, 2.0315, 5
# The root mean square of an AdamW step, as a share of its learning rate (Liu et al. 2025, section 2.2).
ADAMW_RMS = 0.2


class Muon(Optimizer):
    """Muon for `weights` of two dimensions or more, as matrices of their first one and the rest.

    Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/, with decoupled decay and steps as large
    as AdamW's, so that one learning rate suits both: Liu et al. 2025, arXiv:2502.16982. Not torch's own
    `Muon`, which takes two dimensions alone and multiplies in bfloat16, in which many CPUs are slow.
    """

    def __init__(self, weights: Iterable[Tensor], lr: float, weight_decay: float) -> None:
        super().__init__(weights, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update the weights that have a gradient; `closure` is not called."""
        for group in self.param_groups:
            for weights in group["params"]:
                if weights.grad is not None:
                    self._update(weights, weights.grad, group)

    def _update(self, weights: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weights]
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
        momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        ahead = gradient.lerp(momentum, MOMENTUM).flatten(1)  # Nesterov's
        size = ADAMW_RMS * sqrt(max(ahead.shape))
        weights.mul_(1 - group["lr"] * group["weight_decay"])
        weights.add_(orthogonalized(ahead).view_as(weights), alpha=-group["lr"] * size)


def orthogonalized(matrix: Tensor) -> Tensor:
    """Return a matrix `(n, m)` with the same singular vectors and singular values near 1.

    A round takes X to (a + b A + c A²) X with A = X Xᵀ. These factors are all polynomials of the first A, so
    they are multiplied among themselves, and X, the larger one, only once.
    """
    if matrix.size(0) > matrix.size(1):
        return orthogonalized(matrix.T).T.contiguous()
    matrix = matrix / (matrix.norm() + 1e-7)
    product = matrix @ matrix.T
    factors = factor = _factor(product)
    for _ in range(ROUNDS - 1):
        product = factor @ product @ factor
        factor = _factor(product)
        factors = factor @ factors
    return factors @ matrix


def _factor(product: Tensor) -> Tensor:
    factor = torch.addmm(product, product, product, beta=CUBIC, alpha=QUINTIC)
    factor.diagonal().add_(LINEAR)
    return factor
