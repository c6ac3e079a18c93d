"""How many processor cores there are to use."""

import os
import sys
from contextlib import suppress
from math import ceil
from pathlib import Path


def usable_cores(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the number of cores that this process may use, at least 1: by affinity and quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _quota(cgroup)))


def _quota(cgroup: Path) -> int:
    """Return how many cores' time a cgroup may use (kernel.org, cgroup-v2: `cpu.max`; v1: `cpu.cfs_…`)."""
    texts = []
    with suppress(OSError):
        texts = (cgroup / "cpu.max").read_text().split()
    with suppress(OSError):
        texts = [(cgroup / f"cpu/cpu.cfs_{name}_us").read_text() for name in ("quota", "period")]
    with suppress(ValueError):  # "max", or nothing: no limit
        quota, period = map(int, texts)
        return ceil(quota / period) if quota > 0 else sys.maxsize
    return sys.maxsize
