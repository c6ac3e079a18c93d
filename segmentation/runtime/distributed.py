"""Several processes that train one network together, as torch's own launcher `torchrun` starts them.

Every process holds the whole network and takes its share of each batch. What they must agree on is
summed or gathered here; with a single process everything below leaves its argument as it is.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from segmentation.common.errors import Fault

T = TypeVar("T")


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0. Process 0 alone writes files and speaks."""
    return dist.get_rank() if world() > 1 else 0


def launched() -> bool:
    """Whether `torchrun` started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Work together with the other processes that `torchrun` started, if it started this one.

    Raises `Fault` where one of them has ended.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    except RuntimeError as error:
        if "Connection" in str(error):  # gloo's "closed by peer", "reset by peer"
            raise Fault("another of the processes that train together has ended; see what it says") from None
        raise
    finally:
        dist.destroy_process_group()


class _Sum(torch.autograd.Function):
    """The sum over all processes, and of its gradient: each process' loss depends on every addend."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


def summed(values: Tensor) -> Tensor:
    """Return the sum of `values` over all processes, differentiable."""
    return _Sum.apply(values) if world() > 1 else values


def agreed(number: int) -> int:
    """Return the largest `number` of all processes; costs no wait for a GPU."""
    if world() == 1:
        return number
    largest = torch.tensor(number)
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return int(largest)


def of_the_first(item: T | None) -> T:
    """Return what process 0 has, in all of them; the others' `item` is not looked at."""
    if world() > 1:
        items = [item]
        dist.broadcast_object_list(items)
        (item,) = items
    return item  # type: ignore[return-value]


def of_each(item: T) -> list[T]:
    """Return what each process has, in their order. Tensors are brought to the CPU."""
    if world() == 1:
        return [on_cpu(item)]
    everyone: list[T] = [item for _ in range(world())]
    dist.all_gather_object(everyone, on_cpu(item))
    return everyone


def gathered(items: list[T]) -> list[T]:
    """Return the items of all processes in the order in which they were dealt out: one each in turn.

    Tensors are brought to the CPU.
    """
    if world() == 1:
        return items
    everyone = of_each(items)
    longest = max(map(len, everyone))
    return [each[turn] for turn in range(longest) for each in everyone if turn < len(each)]


def on_cpu(item: Any) -> Any:
    """Bring the tensors in nested lists, tuples and mappings to the CPU."""
    if isinstance(item, Tensor):
        return item.detach().cpu()
    if isinstance(item, dict):
        return {key: on_cpu(value) for key, value in item.items()}
    return type(item)(map(on_cpu, item)) if isinstance(item, (list, tuple)) else item
