"""Where and in which number format a network runs."""

import contextlib
import os

import torch


def choose_device() -> torch.device:
    """Return the best device here: CUDA, then Apple's MPS, then the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


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


def loader_workers(device: torch.device) -> int:
    """How many processes prepare pictures: few on a CPU, whose cores the network wants itself.

    On two cores none: there a worker took more from the network than it gave (0.8 times the speed).
    """
    cores = os.cpu_count() or 1
    return min(4, cores // 4) if device.type == "cpu" else min(8, cores)
