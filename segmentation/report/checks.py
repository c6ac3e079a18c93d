"""What a careful reader would check before believing the numbers."""

from typing import NamedTuple

from segmentation.evaluation.calibration import BADLY
from segmentation.evaluation.tables import BASELINES
from segmentation.models.build import network_title
from segmentation.report.results import Results

ENOUGH = 30  # test images
LEVEL = 0.005  # gain of the validation Dice in the last fifth of the epochs that still counts as level
AGREE = 0.03  # between the Dice of validation and test


class Check(NamedTuple):
    """What was checked, whether it holds (None: not known), and the number behind it."""

    title: str
    passed: bool | None
    number: str


def checks(results: Results, unchanged: bool | None) -> list[Check]:
    """Return all checks; `unchanged` is what `repository.matches_commit` found."""
    details, split = results.details, results.split
    found = []
    for name in results.names:
        title, gain = network_title(name), details["gain"][name]
        found += [
            Check(
                f"{title} is better than the best trivial answer ({BASELINES[gain['baseline']]})",
                gain["low"] > 0,
                f"{gain['dice']:+.3f} mean Dice, {gain['low']:+.3f} to {gain['high']:+.3f}",
            ),
            _levelled_off(results, name),
            _agrees(results, name),
            Check(
                f"{title} is calibrated",
                details["calibration_error"][name] <= BADLY,
                f"over all pixels, off by {details['calibration_error'][name]:.3f}; at most {BADLY}",
            ),
        ]
    dropped = len(split["dropped"])
    return [
        *found,
        Check(
            "no test image has a near-duplicate that trained or validated",
            details["twins"] == 0,
            f"{details['twins']} of {details['images']} have one",
        ),
        Check(
            "there are enough test images for intervals to mean something",
            details["images"] >= ENOUGH,
            f"{details['images']}; at least {ENOUGH}",
        ),
        Check("nothing was dropped", dropped == 0, f"{dropped} unusable images"),
        Check(
            "recipe, data and results are the committed ones",
            unchanged,
            {
                True: "no difference",
                False: "git diff dvc.lock params.yaml shows it",
                None: "not in a git repository",
            }[unchanged],
        ),
    ]


def _levelled_off(results: Results, name: str) -> Check:
    dice = [float(row["val_dice"]) for row in results.curves[name]]
    late = max(1, len(dice) // 5)
    gain = max(dice[-late:]) - max(dice[:-late], default=0.0)
    return Check(
        f"the training of {network_title(name)} has levelled off",
        gain <= LEVEL,
        f"{gain:+.4f} validation Dice in the last {late} of {len(dice)} epochs; at most {LEVEL}",
    )


def _agrees(results: Results, name: str) -> Check:
    validation = results.training[name]["val_dice_threshold"]
    test = results.details["network"][name]["dice"]
    return Check(
        f"validation and test agree on {network_title(name)}",
        abs(validation - test) <= AGREE,
        f"Dice {validation:.3f} and {test:.3f} at network size; at most {AGREE} apart",
    )
