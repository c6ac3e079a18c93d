import torch

from segmentation.loading.transforms import halve


def test_halve() -> None:
    pixels = torch.tensor([[0, 3, 250, 255, 9], [2, 4, 252, 254, 9]], dtype=torch.uint8)[None, None]
    assert halve(pixels).tolist() == [[[[2, 253]]]]  # means of 2.25 and 252.75; the odd column is left out
