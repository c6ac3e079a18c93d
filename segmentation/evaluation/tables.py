"""The table of results that a person reads, and what to know beside it."""

from collections.abc import Mapping
from typing import Any

from segmentation.evaluation.calibration import BADLY
from segmentation.models.build import network_names, network_title

BASELINES = {"all_foreground": "all foreground", "mean_mask": "mean training mask"}
# Of fewer test images, not even the range is a 95 % interval: it misses the median in 1 of 2^(n - 1) cases.
FEWEST = 6
EXPLANATION = """\
dice, iou  mean over the images, and the 95 % bootstrap interval of the mean Dice
pooled     Dice of all pixels of all images together
soft       soft Dice of batches of 8, averaged: the lab report's score, to compare only with that"""


def results_table(metrics: Mapping[str, Any], details: Mapping[str, Any]) -> str:
    """Format the contents of metrics/test.json and metrics/details.json in less than 80 columns."""
    names = [name for name in network_names() if name in metrics]
    scores = details[details["resolution"]]
    rows = {network_title(name): scores[name] | metrics[name] for name in names}
    rows |= {title: details["baselines"][name] for name, title in BASELINES.items()}
    count = f"{details['images']} test images"
    lines = [f"{count:<20}    dice        95 %          iou  pooled    soft"]
    for title, row in rows.items():
        span = f"{row['dice_low']:.4f} to {row['dice_high']:.4f}"
        others = "  ".join(f"{row[key]:.4f}" for key in ("iou", "dice_pooled"))
        soft = f"{row['dice_soft']:.4f}" if "dice_soft" in row else "     -"
        lines.append(f"{title:<20}  {row['dice']:.4f}  {span}  {others}  {soft}")
    for name, gap in metrics.get("difference", {}).items():
        label = f"{name} minus {names[0]}"
        lines.append(f"{label:<20} {gap['dice']:+.4f} {gap['low']:+.4f} to {gap['high']:+.4f}")
    return "\n".join(lines)


def notes(details: Mapping[str, Any]) -> list[str]:
    """Return what to know beside the table: how it was scored, and where a network learned little."""
    size = {"network": "at network size", "original": "at each image's own size"}[details["resolution"]]
    thresholds = ", ".join(f"{name} {value:.2f}" for name, value in details["thresholds"].items())
    lines = [f"scored {size}; threshold, chosen on validation images: {thresholds}"]
    if details["tta"] == "flip":
        lines[0] += "; probabilities are the mean over an image and its mirror image"
    if details["images"] < FEWEST:
        lines.append(f"fewer than {FEWEST} test images: the intervals mean nothing")
    for name, gain in details["gain"].items():
        if gain["low"] <= 0:
            baseline = BASELINES.get(gain["baseline"], gain["baseline"])
            lines.append(
                f"warning: {name} is no better than the answer {baseline!r}: {gain['dice']:+.4f} mean Dice,"
                f" {gain['low']:+.4f} to {gain['high']:+.4f}"
            )
    for name, error in details["calibration_error"].items():
        if error > BADLY:
            lines += [f"{name}: its probabilities are off by {error:.3f} on average; use them for masks only"]
    return lines


def start_note(name: str, started_from: str) -> str:
    """Return the line about a network that was trained on from the checkpoint of this SHA-256."""
    return f"{name} was not trained from scratch, but from the checkpoint of SHA-256 {started_from}"
