"""Several processes that train one network, as torch's own launcher `torchrun` starts them.

Every process holds the whole network and takes its share of each batch. What they must agree on is reduced,
broadcast or gathered here; with a single process that changes nothing.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from segmentation.common.errors import Fault

T = TypeVar("T")


def world_size() -> int:
    """Return the number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, from 0. Rank 0 alone writes files and prints."""
    return dist.get_rank() if world_size() > 1 else 0


def local_world_size() -> int:
    """Return the number of processes that `torchrun` started on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if launched_by_torchrun() else 1


def launched_by_torchrun() -> bool:
    """Whether `torchrun` started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the process group of the processes that `torchrun` started, if it started this one.

    Raises `Fault` when one of the others has ended.
    """
    if not launched_by_torchrun() or os.environ.get("WORLD_SIZE", "1") == "1":  # Slurm sets it too
        yield
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    except RuntimeError as error:
        if "Connection" not in str(error):  # gloo's "closed by peer", "reset by peer"
            raise
        raise Fault("another process of this training has ended, see its error if it printed one") from None
    finally:
        dist.destroy_process_group()


class _AllReduceSum(torch.autograd.Function):
    """The sum over all processes, and of its gradient: each process' loss depends on every addend."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _AllReduceSum.forward(ctx, gradient)


def all_reduce_sum(values: Tensor) -> Tensor:
    """Return the sum of `values` over all processes, differentiable."""
    return _AllReduceSum.apply(values) if world_size() > 1 else values


def all_reduce_sums(tensors: list[Tensor]) -> list[Tensor]:
    """Return the sum of each tensor over all processes, by one reduction for all of them."""
    flat = all_reduce_sum(torch.cat([tensor.flatten() for tensor in tensors]))
    sums = flat.split([tensor.numel() for tensor in tensors])
    return [total.view_as(tensor) for total, tensor in zip(sums, tensors, strict=True)]


def average_gradients(model: nn.Module) -> None:
    """Replace the gradients by their mean over all processes.

    One sum over all of them, in the order of the parameters. `DistributedDataParallel` sums buckets, whose
    order it changes after the first step: with three processes or more, a resumed training rounds otherwise.
    """
    if world_size() == 1:
        return
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    for gradient, total in zip(gradients, all_reduce_sums(gradients), strict=True):
        gradient.copy_(total / world_size())


def all_reduce_max(*numbers: int) -> list[int]:
    """Return the largest of all processes' `numbers`, place by place, without waiting for a GPU."""
    if world_size() == 1:
        return list(numbers)
    largest = torch.tensor(numbers)
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return largest.tolist()


def broadcast(item: T | None) -> T:
    """Return rank 0's `item` on every rank; that of the others is ignored."""
    if world_size() > 1:
        items = [item]
        dist.broadcast_object_list(items)
        (item,) = items
    return item  # type: ignore[return-value]


def all_gather(item: T) -> list[T]:
    """Return the items of all ranks, in order of rank; tensors must be on the CPU."""
    if world_size() == 1:
        return [item]
    items: list[T] = [item] * world_size()
    dist.all_gather_object(items, item)
    return items
