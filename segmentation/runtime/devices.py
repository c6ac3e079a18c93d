"""The device and number format in which a network runs."""

import contextlib
import platform
import re
from pathlib import Path

import torch
from torch import nn
from torch.distributed import get_node_local_rank

from segmentation.common.cores import usable_cores
from segmentation.common.errors import InputError
from segmentation.runtime.distributed import launched_by_torchrun, local_world_size, world_size
from segmentation.runtime.memory import keep_freed_memory


def choose_device() -> torch.device:
    """Return the accelerator of this machine, such as `cuda` or `mps`, or else the CPU.

    Each process that `torchrun` starts on a machine gets its own GPU.
    """
    if not torch.accelerator.is_available():
        return torch.device("cpu")
    if torch.accelerator.device_count() > 1 and launched_by_torchrun():
        torch.accelerator.set_device_index(get_node_local_rank())
    kind = torch.accelerator.current_accelerator()
    assert kind is not None
    return torch.device(kind.type, torch.accelerator.current_device_index())


def describe(device: torch.device) -> str:
    """Name what computes, for records of measurements."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return f"{device.type} of {processor_name()}"
    return f"{processor_name()}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"


def processor_name() -> str:
    """Return the name of this machine's processor, with that of its maker."""
    path = Path("/proc/cpuinfo")  # of Linux; elsewhere Python knows a name
    line = re.search(r"^model name\s*: (.*)$", path.read_text(), re.M) if path.exists() else None
    return line[1].strip() if line else platform.processor() or platform.machine()


def prepare(device: torch.device, keep_memory: bool = True) -> None:
    """Let this process compute fast: it takes its share of the cores.

    Call it before anything is computed. With `keep_memory` a CPU keeps freed memory for the next step; what
    predicts large photos gives it back. On a CPU, denormal numbers (float32: below 1.2e-38) become 0: the
    momentum of weights that no longer get a gradient decays to such numbers, with which processors are slow.
    cuDNN is held to kernels that give the same result each time, and does not choose them by a race.
    """
    if device.type == "cpu":
        if keep_memory:
            keep_freed_memory()
        torch.set_flush_denormal(True)  # for this thread and those that start later
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    threads = usable_cores() // local_world_size()
    if local_world_size() == 1:  # a person may have said fewer (OMP_NUM_THREADS); torchrun always says 1
        threads = min(threads, torch.get_num_threads())
    torch.set_num_threads(max(1, threads))


def to_device(model: nn.Module, device: torch.device) -> nn.Module:
    """Move a network to its device, in the memory format in which convolutions are fastest."""
    if device.type == "cuda" and world_size() > 1:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def choose_precision(precision: str, device: torch.device) -> str:
    """Resolve `auto` to `bf16` where that is faster, else to `float32`.

    By the device alone, never by a race: one machine, one format. Processors with bfloat16 instructions in
    AVX-512 alone differ: AMD's trained up to 1.7 times as fast as in float32, Intel's at 0.81 to 0.85 of it
    (docs/log.md, "Bfloat16 that is slower").
    Raises `InputError` for `tf32` where the device does not have it.
    """
    if precision == "auto":
        fast = device.type != "cpu" or torch.cpu._is_amx_tile_supported() or "AMD" in processor_name()
        return available_precision("bf16", device) if fast else "float32"
    if precision == "tf32" and available_precision(precision, device) != "tf32":
        rule = f"only CUDA GPUs since Ampere have it, not this {device.type}"
        raise InputError(f"train.precision = tf32: {rule}")
    return precision


def available_precision(precision: str, device: torch.device) -> str:
    """Return `precision` if the device supports it natively, else `float32`."""
    native = False
    if precision == "tf32" and device.type == "cuda":  # NVIDIA's GPUs since Ampere round to it
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    elif precision == "bf16" and device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif precision == "bf16" and device.type == "cpu":
        # Without these instructions bfloat16 is emulated, and slower than float32.
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return precision if native else "float32"


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[None]:
    """Return the context in which a forward pass runs in `precision`.

    `float32` is IEEE's: by default, cuDNN rounds the factors of convolutions to the 10 bits of TF32. Whether
    it does is a state of the whole process, and stays for the backward pass.
    """
    # Not by the newer `fp32_precision`: torch.export reads these, which then raise.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
