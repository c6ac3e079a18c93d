import os
import subprocess
import sys

import pytest
import torch

from segmentation.common.cores import usable_cores
from segmentation.common.errors import InputError
from segmentation.runtime.devices import autocast, choose_precision, prepare


def rounding() -> tuple[bool, bool]:
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


def test_float32_is_not_rounded_to_tf32() -> None:
    for precision, expected in (("tf32", True), ("float32", False), ("tf32", True), ("bf16", False)):
        with autocast(torch.device("cpu"), precision):
            pass
        assert rounding() == (expected, expected)  # afterwards too: the backward pass runs outside


def test_only_bf16_computes_in_bfloat16() -> None:
    ones = torch.ones(4, 4)
    for precision in ("float32", "tf32", "bf16"):
        with torch.autocast("cpu", torch.bfloat16), autocast(torch.device("cpu"), precision):
            assert (ones @ ones).dtype == (torch.bfloat16 if precision == "bf16" else torch.float32)


def test_tf32_needs_a_cuda_gpu() -> None:
    with pytest.raises(InputError, match=r"^train\.precision = tf32: only CUDA GPUs .* not this cpu"):
        choose_precision("tf32", torch.device("cpu"))


@pytest.mark.parametrize(("processor", "amx", "avx512", "expected"), [
    ("Intel(R) Xeon(R) Processor", True, True, "bf16"),
    ("Intel(R) Xeon(R) Processor", False, True, "float32"),  # it was slower in bfloat16
    ("AMD EPYC", False, True, "bf16"),
    ("AMD EPYC", False, False, "float32"),
    ("", False, False, "float32"),
])  # fmt: skip
def test_auto_is_the_faster_format_of_the_processor(
    processor: str, amx: bool, avx512: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segmentation.runtime.devices.processor_name", lambda: processor)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    assert choose_precision("auto", torch.device("cpu")) == expected


def test_cudnn_chooses_its_kernels_the_same_way_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    prepare(torch.device("cpu"))
    assert torch.backends.cudnn.deterministic and not torch.backends.cudnn.benchmark


TINY = """
import torch
from segmentation.runtime.devices import prepare
prepare(torch.device("cpu"))
assert torch.get_num_threads() == 2
assert (torch.full([2**22], 1e-20) * 1e-20).count_nonzero() == 0
"""


@pytest.mark.skipif(usable_cores() < 2, reason="needs two cores")
def test_tiny_numbers_become_zero_in_all_threads() -> None:
    subprocess.run(
        [sys.executable, "-c", TINY], check=True, timeout=60, env=os.environ | {"OMP_NUM_THREADS": "2"}
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_tf32_rounds_convolutions_on_a_gpu_and_float32_does_not() -> None:
    device = torch.device("cuda")
    images, weights = torch.rand(2, 64, 32, 32), torch.rand(64, 64, 3, 3)
    exact = torch.nn.functional.conv2d(images.double(), weights.double())
    errors = {}
    for precision in ("float32", "tf32"):
        with autocast(device, precision):
            found = torch.nn.functional.conv2d(images.to(device), weights.to(device))
        errors[precision] = float(((found.cpu().double() - exact) / exact).abs().max())
    assert errors["float32"] < 1e-5 < errors["tf32"]
