"""The pretrained encoder of docs/extending.md: torchvision's ResNet34, whose weights it loads."""

from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from recipes import recipe
from safetensors.torch import save_file
from torch import Tensor

from segmentation.common.errors import InputError

BLOCKS = (3, 4, 6, 3)


@pytest.fixture
def pretrained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The network's file, as a module."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").mkdir()
    module = ModuleType("pretrained")
    exec(dict(recipe("A pretrained encoder"))["segmentation/networks/pretrained.py"], module.__dict__)
    return module


def torchvision_names() -> set[str]:
    """The names of the state dict of torchvision's resnet34, without `fc`."""

    def norm(name: str) -> list[str]:
        parts = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        return [f"{name}.{part}" for part in parts]

    names = ["conv1.weight", *norm("bn1")]
    for layer, count in enumerate(BLOCKS, 1):
        for block in range(count):
            for number in (1, 2):
                where = f"layer{layer}.{block}"
                names += [f"{where}.conv{number}.weight", *norm(f"{where}.bn{number}")]
        if layer > 1:
            names += [f"layer{layer}.0.downsample.0.weight", *norm(f"layer{layer}.0.downsample.1")]
    return set(names)


def test_the_encoder_has_the_names_and_the_size_of_torchvisions(pretrained: ModuleType) -> None:
    with torch.device("meta"):
        encoder = pretrained.build(64, 0.1).encoder
    assert set(encoder.state_dict()) == torchvision_names() and len(torchvision_names()) == 216
    classifier = 512 * 1000 + 1000
    assert sum(each.numel() for each in encoder.parameters()) + classifier == 21_797_672  # torchvision's docs


def resnet34(images: Tensor, weights: dict[str, Tensor]) -> list[Tensor]:
    """ResNet34 as the paper describes it, in evaluation mode, from a state dict: its four feature maps."""

    def conv_bn(x: Tensor, conv: str, norm: str, stride: int = 1) -> Tensor:
        kernel = weights[f"{conv}.weight"]
        mean, var, scale, shift = (
            weights[f"{norm}.{part}"].view(1, -1, 1, 1)
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        x = F.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
        return (x - mean) / (var + 1e-5).sqrt() * scale + shift

    x = F.max_pool2d(conv_bn(images, "conv1", "bn1", 2).relu(), 3, 2, 1)
    features = []
    for layer, count in enumerate(BLOCKS, 1):
        for block in range(count):
            where, stride = f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
            y = conv_bn(x, f"{where}.conv1", f"{where}.bn1", stride).relu()
            y = conv_bn(y, f"{where}.conv2", f"{where}.bn2")
            if f"{where}.downsample.0.weight" in weights:
                x = conv_bn(x, f"{where}.downsample.0", f"{where}.downsample.1", stride)
            x = (y + x).relu()
        features.append(x)
    return features


def foreign_weights(pretrained: ModuleType, width: int = 4) -> dict[str, Tensor]:
    """A file's content, drawn at random, with the classifier that the encoder does without."""
    weights = pretrained.build(width, 0.0).encoder.state_dict()
    for name, each in weights.items():
        if each.is_floating_point():
            weights[name] = torch.rand_like(each) + 0.5 if "var" in name else torch.randn_like(each) * 0.1
    return {**weights, "fc.weight": torch.zeros(10, 8 * width), "fc.bias": torch.zeros(10)}


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_loaded_weights_give_the_features_of_resnet34(
    pretrained: ModuleType, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = foreign_weights(pretrained)
    monkeypatch.setattr(pretrained, "WEIGHTS", pretrained.WEIGHTS.with_suffix(suffix))
    (save_file if suffix == ".safetensors" else torch.save)(weights, pretrained.WEIGHTS)
    model = pretrained.build(4, 0.0).eval()
    pretrained.load_pretrained(model)
    images = torch.randn(2, 3, 96, 64)
    with torch.inference_mode():
        for found, expected in zip(model.encoder(images), resnet34(images, weights), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        assert model(images[..., :70, :50]).shape == (2, 1, 70, 50)


def test_files_from_before_batches_were_counted_load_too(pretrained: ModuleType) -> None:
    weights = foreign_weights(pretrained)
    kept = {name: each for name, each in weights.items() if "num_batches_tracked" not in name}
    save_file(kept, pretrained.WEIGHTS)
    pretrained.load_pretrained(model := pretrained.build(4, 0.0))
    assert torch.equal(model.encoder.conv1.weight, weights["conv1.weight"])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda weights: weights.pop("layer3.0.conv1.weight"), "Missing key.*layer3.0.conv1.weight"),
        (lambda weights: weights.update(extra=torch.zeros(1)), "Unexpected key.*extra"),
        (lambda weights: weights.update({"bn1.bias": torch.zeros(64)}), "size mismatch for bn1.bias"),
    ],
)  # fmt: skip
def test_what_does_not_match_is_refused(pretrained: ModuleType, spoil, message: str) -> None:  # type: ignore[no-untyped-def]
    weights = foreign_weights(pretrained)
    spoil(weights)
    save_file(weights, pretrained.WEIGHTS)
    with pytest.raises(InputError, match=message) as caught:
        pretrained.load_pretrained(pretrained.build(4, 0.0))
    assert "\n" not in str(caught.value)


def test_a_file_that_runs_code_is_refused_and_a_missing_one_named(
    pretrained: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = pretrained.build(4, 0.0)
    with pytest.raises(InputError, match=r"resnet34\.safetensors: no such file"):
        pretrained.load_pretrained(model)
    monkeypatch.setattr(pretrained, "WEIGHTS", pretrained.WEIGHTS.with_suffix(".pth"))
    torch.save(torch.nn.Linear(1, 1), pretrained.WEIGHTS)
    with pytest.raises(InputError, match="not ResNet34's weights"):
        pretrained.load_pretrained(model)
