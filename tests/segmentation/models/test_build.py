import subprocess
import sys

import pytest
import torch
from conftest import ROOT
from torch import nn

from segmentation.models.build import NAMES, Pointwise, UNet, build_model

PARAMETERS = {"unet": 31_037_633, "resnet": 48_194_369}  # the report's


@pytest.mark.parametrize("name", NAMES)
def test_parameter_count_is_the_reports(name: str) -> None:
    model = build_model(name)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(32, 32), (33, 47), (64, 64), (100, 130), (128, 64)])
def test_logits_have_the_size_of_the_picture(name: str, size: tuple[int, int]) -> None:
    model = build_model(name, width=3).eval()
    with torch.inference_mode():
        logits = model(torch.randn(2, 3, *size))
    assert logits.shape == (2, 1, *size)
    assert logits.min() < 0 < logits.max() or logits.std() > 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [32, 64])
def test_a_last_batch_of_one_picture_trains(name: str, size: int) -> None:
    model = build_model(name, width=4).train()
    model(torch.randn(1, 3, size, size)).mean().backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients and all(torch.isfinite(gradient).all() for gradient in gradients)


def test_the_pointwise_convolution_is_a_convolution() -> None:
    mine = Pointwise(3, 5, 1, stride=2, bias=False)
    theirs = nn.Conv2d(3, 5, 1, stride=2, bias=False)
    theirs.load_state_dict(mine.state_dict())
    for size in (8, 7):
        images = torch.randn(2, 3, size, size)
        torch.testing.assert_close(mine(images), theirs(images))


@pytest.mark.parametrize("batch", [3, 5, 7])
def test_narrow_networks_train_without_breaking_memory(batch: int) -> None:
    # In a process of its own, because what would break is the allocator.
    code = f"""
import torch
from segmentation.models.build import build_model
torch.set_num_threads(2)
model = build_model("resnet", 4).to(memory_format=torch.channels_last)
images = torch.rand({batch}, 3, 128, 128).contiguous(memory_format=torch.channels_last)
for _ in range(6):
    model(images).sum().backward()
"""
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_receives_a_gradient(name: str) -> None:
    model = build_model(name, width=4, dropout=0.0).train()
    model(torch.randn(2, 3, 128, 128)).square().mean().backward()
    silent = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert silent == []


@pytest.mark.parametrize("name", NAMES)
def test_he_init(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(name, width=16)
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 5000:
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            assert module.bias.abs().sum() == 0


@pytest.mark.parametrize("name", NAMES)
def test_default_init_is_pytorchs(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(name, width=16, init="default")
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            bound = (module.in_channels * module.kernel_size[0] * module.kernel_size[1]) ** -0.5
            assert module.weight.abs().max() <= bound  # uniform, unlike a normal distribution


def test_dropout_drops_whole_bottleneck_channels() -> None:
    model = UNet(4, dropout=0.5).train()
    with torch.no_grad():
        channels = model.bottleneck(torch.rand(4, 32, 4, 4)).flatten(2).abs().sum(-1)
    assert 0.2 < (channels == 0).float().mean() < 0.8
