"""A share of the work for each of several machines or processes."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from segmentation.common.errors import InputError

NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class Shard:
    """Number `index`, from 0, of `count` shards."""

    index: int
    count: int


def choose_shard(argument: str | None, environment: Mapping[str, str] = os.environ) -> Shard:
    """Return the shard `I/N` of `argument`, or else of a Slurm array or of `torchrun`; 0 of 1 without any.

    Raises `InputError` unless 0 <= I < N.
    """
    if argument is not None:
        source, (index, _, count) = f"--shard {argument}", argument.partition("/")
    elif "SLURM_ARRAY_TASK_ID" in environment:
        source = "Slurm's array (it must be a range without gaps: --array=0-N)"
        index, count = environment["SLURM_ARRAY_TASK_ID"], environment.get("SLURM_ARRAY_TASK_COUNT", "")
        first = environment.get("SLURM_ARRAY_TASK_MIN", "0")
        last = environment.get("SLURM_ARRAY_TASK_MAX")
        if NUMBER.fullmatch(index) and NUMBER.fullmatch(first):
            index = str(int(index) - int(first))
        if last is not None and str(int(last) - int(first) + 1) != count:
            index = ""
    elif "WORLD_SIZE" in environment:
        source = "the variables RANK and WORLD_SIZE"
        index, count = environment.get("RANK", ""), environment["WORLD_SIZE"]
    else:
        return Shard(0, 1)
    if not (NUMBER.fullmatch(index) and NUMBER.fullmatch(count) and int(index) < int(count)):
        raise InputError(f"{source}: a shard is I/N with 0 <= I < N, as in 0/3")
    return Shard(int(index), int(count))
