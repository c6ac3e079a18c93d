"""What is measured of an epoch."""

from typing import NamedTuple, TypedDict


class EpochMetrics(TypedDict):
    """One epoch: `dice` is the mean over images at 0.5, `dice_soft` the lab report's soft score.

    `threshold` is the one that suits the validation images best, `val_dice_threshold` their Dice at it.
    Training scores are taken on the augmented images, with dropout, while the weights change.
    """

    epoch: int
    lr: float
    train_loss: float
    train_dice: float
    val_loss: float
    val_dice: float
    val_dice_soft: float
    threshold: float
    val_dice_threshold: float


class Throughput(NamedTuple):
    """The speed of an epoch, and the share of its time spent waiting for images."""

    images_per_second: float
    waiting: float
