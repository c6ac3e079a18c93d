import math

import pytest
import torch

from segmentation.training.losses import LOSSES

bce_dice, double_sigmoid = LOSSES["bce_dice"], LOSSES["double_sigmoid"]


def test_bce_dice_by_hand() -> None:
    logits, masks = torch.tensor([[[[2.0, -1.0]]]]), torch.tensor([[[[1.0, 0.0]]]])
    p, q = 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(1))
    expected = -(math.log(p) + math.log(1 - q)) / 2 + 1 - 2 * p / (p + q + 1)
    assert bce_dice(logits, masks).item() == pytest.approx(expected, abs=1e-6)


def test_double_sigmoid_applies_the_sigmoid_twice() -> None:
    logits, masks = torch.tensor([[[[2.0, -1.0]]]]), torch.tensor([[[[1.0, 0.0]]]])
    p, q = 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(1))
    twice = [1 / (1 + math.exp(-p)), 1 / (1 + math.exp(-q))]
    expected = -(math.log(twice[0]) + math.log(1 - twice[1])) / 2 + 1 - 2 * p / (p + q + 1)
    assert double_sigmoid(logits, masks).item() == pytest.approx(expected, abs=1e-6)


def test_where_a_perfect_answer_ends() -> None:
    masks = (torch.rand(4, 1, 16, 16) < 0.4).float()
    logits = 100 * (masks - 0.5)
    share = masks.mean().item()
    floor = share * math.log(1 + math.exp(-1)) + (1 - share) * math.log(2)
    assert bce_dice(logits, masks).item() == pytest.approx(0, abs=1e-6)
    assert double_sigmoid(logits, masks).item() == pytest.approx(floor, abs=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_points_to_the_mask(name: str) -> None:
    masks = (torch.rand(2, 1, 8, 8) < 0.5).float()
    logits = torch.zeros(2, 1, 8, 8, requires_grad=True)
    LOSSES[name](logits, masks).backward()
    assert logits.grad is not None
    assert ((logits.grad < 0) == masks.bool()).all()


@pytest.mark.parametrize("name", LOSSES)
def test_shares_of_a_batch_give_the_loss_of_the_whole(name: str) -> None:
    masks, logits = (torch.rand(5, 1, 8, 8) < 0.5).float(), torch.randn(5, 1, 8, 8)
    loss = LOSSES[name]
    together = loss.value(loss.sums(logits[:3], masks[:3]) + loss.sums(logits[3:], masks[3:]))
    assert together.item() == pytest.approx(LOSSES[name](logits, masks).item(), rel=1e-6)
