"""The convolutions of this project against the library's."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from projects import ROOT
from torch import Tensor, nn

from segmentation.layers.blocks import Convolution, as_matrix_product, prefers_matrix_product

FORMATS = [torch.contiguous_format, torch.channels_last]


def gradients(output: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Of a sum in which each pixel has another weight."""
    weights = torch.linspace(-1, 1, output.numel()).view_as(output)
    return torch.autograd.grad((output.float() * weights).sum(), inputs)


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(1, 6, 1, 1), (2, 6, 2, 2), (3, 6, 5, 7), (1, 6, 4, 1)])
def test_a_matrix_product_is_the_convolution(
    shape: tuple[int, ...], stride: int, memory_format: torch.memory_format
) -> None:
    inputs = torch.randn(shape).contiguous(memory_format=memory_format).requires_grad_()
    weight = torch.randn(4, 6, 3, 3).contiguous(memory_format=memory_format).requires_grad_()
    mine, theirs = (
        as_matrix_product(inputs, weight, stride),
        F.conv2d(inputs, weight, None, stride, padding=1),
    )
    torch.testing.assert_close(mine, theirs)
    torch.testing.assert_close(gradients(mine, inputs, weight), gradients(theirs, inputs, weight))
    assert mine.is_contiguous(memory_format=torch.channels_last)  # what follows is fast in it


@pytest.mark.parametrize(("dtype", "channels", "shape"), [
    (torch.float32, 512, (8, 2, 2)), (torch.float32, 512, (3, 7, 5)), (torch.float32, 512, (1, 4, 4)),
    (torch.bfloat16, 256, (8, 4, 4)), (torch.bfloat16, 256, (1, 3, 5)), (torch.bfloat16, 256, (1, 16, 32)),
])  # fmt: skip
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("memory_format", FORMATS)
def test_a_layer_is_right_to_the_rounding_of_its_format(
    dtype: torch.dtype, channels: int, shape: tuple[int, ...], stride: int, memory_format: torch.memory_format
) -> None:
    images, height, width = shape
    layer = Convolution(channels, channels, stride=stride)
    layer.to(memory_format=memory_format)  # type: ignore[call-overload]
    inputs = torch.randn(images, channels, height, width).contiguous(memory_format=memory_format)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        mine = layer(inputs.requires_grad_())
    assert mine.dtype == dtype
    exact = F.conv2d(inputs.double(), layer.weight.double(), None, stride, padding=1)
    pairs = zip(gradients(mine, inputs, layer.weight), gradients(exact, inputs, layer.weight), strict=True)
    # A share of the largest value, because sums of thousands of products cancel.
    share = 2**-6 if dtype == torch.bfloat16 else 2**-18
    for value, expected in [(mine, exact), *pairs]:
        bound = share * expected.abs().max().item()
        torch.testing.assert_close(value.double(), expected.double(), rtol=0, atol=bound)


def test_the_product_is_taken_where_it_is_faster() -> None:
    """docs/log.md has the measurements."""
    taken = [(32, 1024, 1024, torch.float32), (256, 256, 512, torch.bfloat16), (1, 512, 256, torch.bfloat16)]
    left = [(128, 512, 512, torch.float32), (4, 1024, 1024, torch.float32), (64, 512, 512, torch.float64)]
    left += [(512, 512, 512, torch.bfloat16), (64, 256, 128, torch.bfloat16)]
    assert [prefers_matrix_product(*case) for case in taken + left] == [True] * 3 + [False] * 5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_prediction_computes_as_training_does(dtype: torch.dtype) -> None:
    layer, inputs = Convolution(512, 512), torch.randn(8, 512, 2, 2)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        with torch.inference_mode():
            predicted = layer(inputs)
        torch.testing.assert_close(predicted, layer(inputs), rtol=0, atol=0)


def test_processes_that_share_a_batch_learn_what_one_does() -> None:
    """The halves of this batch are small enough for the product, the whole is not."""
    layer, images = Convolution(256, 256), torch.randn(8, 256, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        whole, *halves = [layer(part) for part in (images, images[:4], images[4:])]
    (expected,) = torch.autograd.grad(whole.float().square().mean(), layer.weight)
    found = [torch.autograd.grad(half.float().square().mean(), layer.weight)[0] for half in halves]
    bound = 2**-6 * expected.abs().max().item()
    torch.testing.assert_close((found[0] + found[1]) / 2, expected, rtol=0, atol=bound)


def test_an_exported_graph_has_a_convolution() -> None:
    graph = torch.export.export(Convolution(512, 512), (torch.randn(8, 512, 2, 2),)).graph
    called = [str(node.target) for node in graph.nodes if node.op == "call_function"]
    assert called == ["aten.conv2d.default"]


def test_the_pointwise_convolution_is_a_convolution() -> None:
    mine, theirs = Convolution(3, 5, kernel=1, stride=2), nn.Conv2d(3, 5, 1, stride=2, bias=False)
    theirs.load_state_dict(mine.state_dict())
    for size in (8, 7):
        images = torch.randn(2, 3, size, size)
        torch.testing.assert_close(mine(images), theirs(images))


@pytest.mark.slow
def test_narrow_networks_train_without_corrupting_memory() -> None:
    # In a process of its own, because the allocator would crash.
    code = """
import torch
from segmentation.models.build import build_model
torch.set_num_threads(2)
for batch in (3, 5, 7):
    model = build_model("resnet", 4).to(memory_format=torch.channels_last)
    images = torch.rand(batch, 3, 128, 128).contiguous(memory_format=torch.channels_last)
    for _ in range(6):
        model(images).sum().backward()
"""
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
