import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_f1_score

from segmentation.scoring import scores
from segmentation.scoring.threshold import GRID, choose_threshold, counts_on_grid, is_foreground, to_bins
from segmentation.scoring.threshold import bin_counts as counts_of_bins


def bin_counts(probabilities: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    return counts_of_bins(to_bins(probabilities), masks)


def images() -> tuple[torch.Tensor, torch.Tensor]:
    masks = torch.rand(7, 1, 9, 13) < torch.linspace(0.9, 0.0, 7).view(-1, 1, 1, 1)  # the last one is empty
    probabilities = (0.4 * masks + 0.6 * torch.rand(7, 1, 9, 13)).clamp(0, 1)
    on_the_grid = torch.tensor(GRID)[torch.randint(99, probabilities.shape)]
    below = torch.rand(probabilities.shape) < 0.5
    on_the_grid = torch.where(below, on_the_grid.nextafter(torch.tensor(0.0)), on_the_grid)
    return torch.where(torch.rand(probabilities.shape) < 0.3, on_the_grid, probabilities), masks


def test_counts_are_those_of_every_threshold() -> None:
    probabilities, masks = images()
    bins = bin_counts(probabilities, masks)
    assert (bins.sum((1, 2)) == 9 * 13).all()
    found = counts_on_grid(bins.numpy())
    for k, threshold in enumerate(GRID):
        expected = scores.confusion_counts(is_foreground(probabilities, threshold), masks)
        assert (found[:, k] == expected.numpy()).all(), threshold


def test_the_best_threshold_against_torchmetrics() -> None:
    probabilities, masks = images()
    threshold, best = choose_threshold(bin_counts(probabilities, masks).numpy())
    means = []
    for each in GRID:
        dice = [
            1.0
            if not (p >= each).any() and not m.any()
            else binary_f1_score((p >= each).int(), m.int()).item()
            for p, m in zip(probabilities, masks, strict=True)
        ]
        means.append(np.mean(dice))
    assert best == pytest.approx(max(means), abs=1e-6)
    assert means[GRID.index(threshold)] == pytest.approx(max(means), abs=1e-6)


def test_of_several_best_ones_the_nearest_to_a_half_is_taken() -> None:
    masks = torch.tensor([[[[1, 1, 0, 0]]]]).bool()
    for values, expected in (
        ([0.9, 0.8, 0.1, 0.2], 0.5),
        ([0.4, 0.3, 0.1, 0.2], 0.3),
        ([0.9, 0.8, 0.6, 0.7], 0.71),
        ([1.0, 1.0, 1.0, 1.0], 0.5),
    ):
        probabilities = torch.tensor(values).view(1, 1, 1, 4)
        assert choose_threshold(bin_counts(probabilities, masks).numpy())[0] == expected
