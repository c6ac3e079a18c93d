"""The table of results that a person reads."""

from collections.abc import Mapping
from typing import Any

from segmentation.models.build import network_names, network_title

BASELINES = {"all_foreground": "all foreground", "mean_mask": "mean training mask"}
EXPLANATION = """\
dice, iou  mean over the images, and the 95 % bootstrap interval of the mean Dice
pooled     Dice of all pixels of all images together
soft       soft Dice of batches of 8, averaged: the lab report's score, to compare only with that"""


def results_table(metrics: Mapping[str, Any]) -> str:
    """Format the content of metrics/test.json in less than 80 columns."""
    names = [name for name in network_names() if name in metrics]
    rows = {network_title(name): metrics[name] for name in names}
    rows |= {title: metrics["baselines"][name] for name, title in BASELINES.items()}
    count = f"{metrics[names[0]]['images']} test images"
    lines = [f"{count:<20}    dice        95 %          iou  pooled    soft"]
    for title, row in rows.items():
        span = f"{row['dice_low']:.4f} to {row['dice_high']:.4f}"
        others = "  ".join(f"{row[key]:.4f}" for key in ("iou", "dice_pooled", "dice_soft"))
        lines.append(f"{title:<20}  {row['dice']:.4f}  {span}  {others}")
    for name, gap in metrics["difference"].items():
        label = f"{name} minus {names[0]}"
        lines.append(f"{label:<20} {gap['dice']:+.4f} {gap['low']:+.4f} to {gap['high']:+.4f}")
    return "\n".join(lines)


def start_note(name: str, started_from: str) -> str:
    """Return the line about a network that was trained on from the checkpoint of this SHA-256."""
    return f"{name} was not trained from scratch, but from the checkpoint of SHA-256 {started_from}"
