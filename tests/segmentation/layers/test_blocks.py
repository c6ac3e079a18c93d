import subprocess
import sys

import pytest
import torch
from projects import ROOT
from torch import nn

from segmentation.layers.blocks import Pointwise


def test_the_pointwise_convolution_is_a_convolution() -> None:
    mine = Pointwise(3, 5, 1, stride=2, bias=False)
    theirs = nn.Conv2d(3, 5, 1, stride=2, bias=False)
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
