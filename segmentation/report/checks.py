"""What a careful reader would check before believing the numbers."""

from typing import NamedTuple

from segmentation.evaluation.calibration import BADLY
from segmentation.evaluation.tables import BASELINES, FEWEST
from segmentation.models.build import network_title
from segmentation.report.outputs import RunOutputs

ENOUGH = 30  # test images
LEVEL = 0.005  # gain of the validation Dice in the last fifth of the epochs that still counts as level
AGREE = 0.03  # between the Dice of validation and test


class RunCheck(NamedTuple):
    """What was checked, whether it holds (None: not known), and the number behind it."""

    title: str
    passed: bool | None
    number: str


def checks(outputs: RunOutputs) -> list[RunCheck]:
    """Return all checks of a run."""
    details, dropped = outputs.details, len(outputs.split["dropped"])
    return [
        *(check for name in outputs.names for check in _network_checks(outputs, name)),
        RunCheck(
            "no test image has a near-duplicate that trained or validated",
            details["twins"] == 0,
            f"{details['twins']} of {details['images']} have one",
        ),
        RunCheck(
            "there are enough test images for intervals to mean something",
            details["images"] >= ENOUGH,
            f"{details['images']}; at least {ENOUGH}",
        ),
        RunCheck("nothing was dropped", dropped == 0, f"{dropped} unusable images"),
    ]


def _network_checks(outputs: RunOutputs, name: str) -> list[RunCheck]:
    title, details = network_title(name), outputs.details
    gain, error = details["gain"][name], details["calibration_error"][name]
    curve = [float(row["val_dice"]) for row in outputs.curves[name]]
    late = max(1, len(curve) // 5)
    rise = max(curve[-late:]) - max(curve[:-late], default=0.0)
    validation, test = outputs.training[name]["val_dice_threshold"], details["network"][name]["dice"]
    return [
        RunCheck(
            f"{title} is better than the best trivial answer ({BASELINES[gain['baseline']]})",
            gain["low"] > 0 if details["images"] >= FEWEST else None,
            f"{gain['dice']:+.3f} mean Dice, {gain['low']:+.3f} to {gain['high']:+.3f}",
        ),
        RunCheck(
            f"the training of {title} has levelled off",
            rise <= LEVEL,
            f"{rise:+.4f} validation Dice in the last {late} of {len(curve)} epochs; at most {LEVEL}",
        ),
        RunCheck(
            f"validation and test agree on {title}",
            abs(validation - test) <= AGREE,
            f"Dice {validation:.3f} and {test:.3f} at network size; at most {AGREE} apart",
        ),
        RunCheck(
            f"{title} is calibrated", error <= BADLY, f"over all pixels, off by {error:.3f}; at most {BADLY}"
        ),
    ]
