"""The table of results that a person reads."""

from collections.abc import Mapping
from typing import Any

TITLES = {
    "unet": "U-Net",
    "resnet": "ResNet34-UNet",
    "all_foreground": "all foreground",
    "mean_mask": "mean training mask",
}
EXPLANATION = """\
dice, iou  mean over the pictures, and the 95 % bootstrap interval of the mean Dice
pooled     Dice of all pixels of all pictures together
report     soft Dice of batches of 8, averaged: comparable with the report only"""


def results_table(metrics: Mapping[str, Any]) -> str:
    """Format the content of metrics/test.json in less than 80 columns."""
    rows = {name: metrics[name] for name in ("unet", "resnet")} | metrics["baselines"]
    count = f"{metrics['unet']['images']} test pictures"
    lines = [f"{count:<20}    dice        95 %          iou  pooled  report"]
    for name, row in rows.items():
        span = f"{row['dice_low']:.4f} to {row['dice_high']:.4f}"
        others = "  ".join(f"{row[key]:.4f}" for key in ("iou", "dice_dataset", "dice_report"))
        lines.append(f"{TITLES[name]:<20}  {row['dice']:.4f}  {span}  {others}")
    gap = metrics["difference"]
    lines.append(
        f"{'resnet minus unet':<20} {gap['dice']:+.4f} {gap['low']:+.4f} to {gap['high']:+.4f}".rstrip()
    )
    return "\n".join(lines)
