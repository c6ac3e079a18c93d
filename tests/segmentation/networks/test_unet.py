import torch

from segmentation.networks.unet import UNet


def test_dropout_drops_whole_bottleneck_channels() -> None:
    model = UNet(4, dropout=0.5).train()
    with torch.no_grad():
        channels = model.bottleneck(torch.rand(4, 32, 4, 4)).flatten(2).abs().sum(-1)
    assert 0.2 < (channels == 0).float().mean() < 0.8
