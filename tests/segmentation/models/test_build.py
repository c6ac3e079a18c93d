import pytest
import torch
from torch import nn

from segmentation.models.build import build_model, network_names, network_title

PARAMETERS = {"unet": 31_037_633, "resnet": 48_194_369}  # the lab report's


@pytest.mark.parametrize(("name", "expected"), PARAMETERS.items())
def test_the_parameter_counts_are_the_lab_reports(name: str, expected: int) -> None:
    with torch.device("meta"):  # shapes without memory
        model = build_model(name)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_networks_are_found_by_name() -> None:
    assert network_names()[0] == "unet" and set(PARAMETERS) <= set(network_names())
    assert [network_title(name) for name in PARAMETERS] == ["U-Net", "ResNet34-UNet"]
    with pytest.raises(ValueError, match="no network 'vgg'; known here: unet, "):
        build_model("vgg")


@pytest.mark.parametrize("name", network_names())
@pytest.mark.parametrize("size", [(32, 32), (33, 47), (64, 64), (100, 130), (128, 64)])
def test_logits_have_the_size_of_the_image(name: str, size: tuple[int, int]) -> None:
    model = build_model(name, width=3).eval()
    with torch.inference_mode():
        logits = model(torch.randn(2, 3, *size))
    assert logits.shape == (2, 1, *size)
    assert logits.min() < 0 < logits.max() or logits.std() > 0


@pytest.mark.parametrize("name", network_names())
@pytest.mark.parametrize("size", [32, 64])
def test_a_last_batch_of_one_image_trains(name: str, size: int) -> None:
    model = build_model(name, width=4).train()
    model(torch.randn(1, 3, size, size)).mean().backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients and all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("name", network_names())
def test_every_parameter_receives_a_gradient(name: str) -> None:
    model = build_model(name, width=4, dropout=0.0).train()
    model(torch.randn(2, 3, 128, 128)).square().mean().backward()
    silent = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert silent == []


@pytest.mark.parametrize("name", network_names())
def test_he_init(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(name, width=16)
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 5000:
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            assert module.bias.abs().sum() == 0


@pytest.mark.parametrize("name", network_names())
def test_default_init_is_pytorchs(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(name, width=16, init="default")
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            bound = (module.in_channels * module.kernel_size[0] * module.kernel_size[1]) ** -0.5
            assert module.weight.abs().max() <= bound  # uniform, unlike a normal distribution
