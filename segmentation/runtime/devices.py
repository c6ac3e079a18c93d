"""Where and in which number format a network runs."""

import contextlib
import ctypes
import os
import re
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from segmentation.common.errors import Fault
from segmentation.runtime.distributed import world

# As torch's allocator, oneDNN and OpenCV put it.
_NO_MEMORY = re.compile("can't allocate|not enough memory|insufficient memory|out of memory|bad_alloc", re.I)

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # glibc, malloc.h


def choose_device() -> torch.device:
    """Return the best device here: CUDA, then Apple's MPS, then the CPU.

    Each of the processes that `torchrun` starts on a machine gets a GPU of its own.
    """
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def on_device(model: nn.Module, device: torch.device) -> nn.Module:
    """Bring a network to its device, in the layout that convolutions are fastest in."""
    if device.type == "cuda" and world() > 1:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def prepare_cpu() -> None:
    """Let the CPU train fast: memory is kept for the next step, and processes share the cores.

    By default glibc gives large blocks back to the system when they are freed, and every step pays for
    getting all of its memory again, page by page.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)
    if _processes_here() > 1:
        torch.set_num_threads(max(1, _cores() // _processes_here()))


def choose_precision(precision: str, device: torch.device) -> str:
    """Resolve `auto` to `bf16` where the device computes in it natively, else to `float32`."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # Without these instructions bfloat16 is emulated, and slower than float32.
        native = device.type == "cpu" and (
            torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        )
    return "bf16" if native else "float32"


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[None]:
    """Return the context in which a forward pass runs in `precision`."""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


@contextlib.contextmanager
def enough_memory(pictures: int, size: int, remedy: str) -> Iterator[None]:
    """Turn "out of memory", of whichever device and library, into a `Fault` that says what to do.

    `pictures` of `size` x `size` pixels is what a step takes.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not _NO_MEMORY.search(str(error)):
            raise
        step = f"{pictures} pictures of {size}x{size} pixels a step"
        raise Fault(f"out of memory with {step}; {remedy}") from None


def random_state(device: torch.device) -> Tensor:
    """The state of the stream that dropout draws from on this device."""
    return torch.get_rng_state() if device.type == "cpu" else torch.get_device_module(device).get_rng_state()


def set_random_state(device: torch.device, state: Tensor) -> None:
    """Draw from where `random_state` was taken."""
    if device.type == "cpu":
        torch.set_rng_state(state)
    else:
        torch.get_device_module(device).set_rng_state(state)


def loader_workers(device: torch.device) -> int:
    """How many processes prepare pictures: few on a CPU, whose cores the network wants itself.

    On two cores none: there a worker took more from the network than it gave (0.8 times the speed).
    """
    cores = _cores() // _processes_here()
    return min(4, cores // 4) if device.type == "cpu" else min(8, cores)


def _cores() -> int:
    return os.cpu_count() or 1


def _processes_here() -> int:
    """How many processes `torchrun` started on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
