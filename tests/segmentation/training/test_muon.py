import pytest
import torch

from segmentation.training.muon import Muon, orthogonalized


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (8, 8), (24, 96), (96, 24)])
@pytest.mark.parametrize(("bf16", "tolerance"), [(False, 1e-3), (True, 0.06)])
def test_orthogonalized_keeps_only_the_singular_vectors(
    shape: tuple[int, int], bf16: bool, tolerance: float
) -> None:
    torch.manual_seed(0)
    left, _, right = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    values = torch.logspace(0, -2, len(right))
    found = left.T @ orthogonalized(1e-4 * left @ torch.diag(values) @ right, bf16) @ right.T
    assert found.diag().min() > 0.6 and found.diag().max() < 1.25
    assert torch.allclose(found, torch.diag(found.diag()), atol=tolerance)


def test_zero_stays_zero() -> None:
    for bf16 in (False, True):
        assert torch.equal(orthogonalized(torch.zeros(3, 4), bf16), torch.zeros(3, 4))


def test_without_a_gradient_nothing_changes() -> None:
    weights = torch.ones(3, 4)
    Muon([weights], lr=0.1, weight_decay=0.1).step()
    assert torch.equal(weights, torch.ones(3, 4))


@pytest.mark.parametrize("shape", [(16, 48), (48, 16)])
def test_against_torch(shape: tuple[int, int]) -> None:
    """torch's own takes only matrices, and rounds to bfloat16."""
    torch.manual_seed(0)
    start, gradients = torch.randn(shape), torch.randn(4, *shape)
    ours, theirs = start.reshape(shape[0], -1, 2, 2).clone(), start.clone()
    muon = Muon([ours], lr=0.02, weight_decay=0.1)
    reference = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for each in gradients:
        ours.grad, theirs.grad = each.view_as(ours), each.clone()
        muon.step()
        reference.step()
    change = ours.flatten(1) - start
    assert (change - (theirs - start)).norm() < 0.02 * change.norm()
