import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as reference
from torch import Tensor

from segmentation.scoring import scores


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    """Probabilities and masks of 21 images `(21, 1, 9, 13)`, rarer and rarer foreground."""
    share = torch.linspace(0.9, 0.02, 21).view(-1, 1, 1, 1)
    masks = torch.rand(21, 1, 9, 13) < share
    noise = torch.rand(21, 1, 9, 13)
    return torch.where(masks, 0.3 + 0.7 * noise, 0.7 * noise), masks


def counts_of(probabilities: Tensor, masks: Tensor) -> scores.Counts:
    return scores.confusion_counts(probabilities >= 0.5, masks).numpy()


def test_counts_add_up(batch: tuple[Tensor, Tensor]) -> None:
    counts = counts_of(*batch)
    assert counts.dtype == np.int64 and (counts.sum(axis=1) == 9 * 13).all()
    assert (counts[:, 0] + counts[:, 2] == batch[1].flatten(1).sum(1).numpy()).all()


@pytest.mark.parametrize(
    ("own", "other"),
    [
        (scores.dice, reference.binary_f1_score),
        (scores.iou, reference.binary_jaccard_index),
        (scores.precision, reference.binary_precision),
        (scores.recall, reference.binary_recall),
    ],
)
def test_agrees_with_torchmetrics_per_image_and_pooled(batch: tuple[Tensor, Tensor], own, other) -> None:  # type: ignore[no-untyped-def]
    probabilities, masks = batch
    counts = counts_of(probabilities, masks)
    expected = [other(p, m.int()).item() for p, m in zip(probabilities, masks, strict=True)]
    np.testing.assert_allclose(own(counts), expected, atol=1e-6)
    assert own(counts.sum(axis=0)) == pytest.approx(other(probabilities, masks.int()).item(), abs=1e-6)


def test_empty_masks() -> None:
    counts = np.array([[0, 0, 0, 9], [0, 2, 0, 7], [0, 0, 2, 7]])
    assert scores.dice(counts).tolist() == [1, 0, 0]
    assert scores.iou(counts).tolist() == [1, 0, 0]


def test_dice_and_iou_are_two_forms_of_one_score() -> None:
    counts = np.random.default_rng(0).integers(0, 4, (500, 4))  # with empty, full and one-sided cases
    iou = scores.iou(counts)
    np.testing.assert_allclose(scores.dice(counts), 2 * iou / (1 + iou), atol=1e-12)


def test_the_cases_that_people_get_wrong() -> None:
    nothing, everything = torch.zeros(1, 4).bool(), torch.ones(1, 4).bool()
    half = torch.tensor([[True, True, False, False]])
    for prediction, target, dice, precision, recall in (
        (nothing, half, 0, 1, 0),
        (everything, half, 2 / 3, 0.5, 1),
        (half, nothing, 0, 0, 1),  # false positives only
        (nothing, nothing, 1, 1, 1),
        (everything, everything, 1, 1, 1),
    ):
        counts = scores.confusion_counts(prediction, target).numpy()
        assert float(scores.dice(counts)[0]) == pytest.approx(dice)
        assert float(scores.precision(counts)[0]) == precision and float(scores.recall(counts)[0]) == recall


def test_a_known_case() -> None:
    target = torch.tensor([[1, 1, 1, 0, 0, 0]]).bool()
    prediction = torch.tensor([[1, 1, 0, 1, 0, 0]]).bool()
    counts = scores.confusion_counts(prediction, target).numpy()
    assert counts.tolist() == [[2, 1, 1, 2]]
    assert scores.dice(counts)[0] == pytest.approx(4 / 6) and scores.iou(counts)[0] == 0.5


def test_soft_dice_is_the_mean_over_batches_of_8_in_list_order(batch: tuple[Tensor, Tensor]) -> None:
    probabilities, masks = batch[0].double(), batch[1].double()
    by_hand = []
    for start in (0, 8, 16):  # the last batch holds 5 images and counts the same
        p, y = probabilities[start : start + 8], masks[start : start + 8]
        by_hand.append(float(2 * (p * y).sum() / (p.sum() + y.sum() + 1e-8)))
    sums = scores.soft_sums(probabilities, masks).numpy()
    assert scores.mean_soft_dice(sums) == pytest.approx(np.mean(by_hand), abs=1e-12)
    first = scores.soft_sums(probabilities[:8], masks[:8]).sum(0)
    assert scores.soft_dice(*first).item() == pytest.approx(by_hand[0], abs=1e-12)


def test_soft_dice_differs_from_the_other_scores(batch: tuple[Tensor, Tensor]) -> None:
    counts = counts_of(*batch)
    soft = scores.mean_soft_dice(scores.soft_sums(batch[0], batch[1].float()).double().numpy())
    assert (
        len(
            {round(float(each), 3) for each in (soft, scores.dice(counts).mean(), scores.dice(counts.sum(0)))}
        )
        == 3
    )
