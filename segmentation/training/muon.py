"""Muon: momentum that is made orthogonal before each step."""

from collections.abc import Iterable
from math import sqrt
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from segmentation.runtime.devices import autocast
from segmentation.runtime.distributed import all_reduce_sums, rank, world_size

MOMENTUM = 0.95
# Jordan's coefficients of the Newton-Schulz iteration: five rounds bring singular values above 0.0015 of the
# norm to between 0.68 and 1.2.
LINEAR, CUBIC, QUINTIC, ROUNDS = 3.4445, -4.7750, 2.0315, 5
ADAMW_RMS = 0.2  # root mean square of a typical AdamW update, as a share of the learning rate


class Muon(Optimizer):
    """Muon, for `weights` of two dimensions or more: each is a matrix of its first dimension by all others.

    Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/, with decoupled decay and updates as large
    as AdamW's, so that one learning rate suits both: Liu et al. 2025, arXiv:2502.16982. `bf16` says whether
    to multiply in bfloat16. torch's own `Muon` always does, which is slow on many CPUs, takes no kernels, and
    shares no work out.
    """

    def __init__(self, weights: Iterable[Tensor], lr: float, weight_decay: float, bf16: bool = False) -> None:
        super().__init__(weights, {"lr": lr, "weight_decay": weight_decay})
        self.bf16 = bf16

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Update the weights that have a gradient."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            momenta = [self._nesterov(weight, weight.grad) for weight in weights]
            updates = all_orthogonalized(momenta, self.bf16)
            for weight, update in zip(weights, updates, strict=True):
                scale = ADAMW_RMS * sqrt(max(update.shape))
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(update.view_as(weight), alpha=-group["lr"] * scale)

    def _nesterov(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """Update the momentum and return Nesterov's, as a matrix `(n, m)`."""
        state: dict[str, Any] = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
        return gradient.lerp(state["momentum"].lerp_(gradient, 1 - MOMENTUM), MOMENTUM).flatten(1)


def all_orthogonalized(matrices: list[Tensor], bf16: bool) -> list[Tensor]:
    """Return the matrices orthogonalized, each by one of the processes that train together.

    All must call it with matrices of the same shapes in the same order. They share the work, and get the same
    bits even if their processors round differently.
    """
    mine = [
        orthogonalized(matrix, bf16) if number % world_size() == rank() else torch.zeros_like(matrix)
        for number, matrix in enumerate(matrices)
    ]
    return all_reduce_sums(mine) if world_size() > 1 else mine


def orthogonalized(matrix: Tensor, bf16: bool = False) -> Tensor:
    """Return a matrix `(n, m)` with the same singular vectors and singular values near 1.

    A round of the iteration takes X to (a + b A + c A²) X with A = X Xᵀ. These factors are polynomials of the
    first A, so they commute and are multiplied among themselves: X takes part in two products instead of ten.
    This squares the singular values, and needs float32 that is not rounded to TF32; with `bf16`, X takes part
    in all products.
    """
    if matrix.size(0) > matrix.size(1):
        return orthogonalized(matrix.T, bf16).T.contiguous()
    if bf16:
        rounded = matrix.bfloat16()
        rounded = rounded / (rounded.norm() + 1e-7)
        for _ in range(ROUNDS):
            rounded = torch.addmm(rounded, _higher_terms(rounded @ rounded.T), rounded, beta=LINEAR)
        return rounded.float()
    with autocast(matrix.device, "float32"):
        matrix = matrix / (matrix.norm() + 1e-7)
        product = matrix @ matrix.T
        factors = factor = _factor(product)
        for _ in range(ROUNDS - 1):
            product = factor @ product @ factor
            factor = _factor(product)
            factors = factor @ factors
        return factors @ matrix


def _factor(product: Tensor) -> Tensor:
    factor = _higher_terms(product)
    factor.diagonal().add_(LINEAR)
    return factor


def _higher_terms(product: Tensor) -> Tensor:
    return torch.addmm(product, product, product, beta=CUBIC, alpha=QUINTIC)
