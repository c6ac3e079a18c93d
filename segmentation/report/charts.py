"""Charts of the page: Vega-Lite, drawn to SVG here, so that the page needs neither network nor script."""

import json
import re
from collections.abc import Mapping
from typing import Any

import vl_convert

from segmentation.evaluation.failures import KINDS, WRONG_MASK
from segmentation.evaluation.tables import FEWEST
from segmentation.experiments.charts import intervals, nominal, quantitative
from segmentation.models.build import network_title
from segmentation.report.outputs import RunOutputs, Table

# Okabe and Ito 2008: told apart by colour-blind people too, on white and on black. Dashes and shapes repeat
# what the colours say, for print in grey.
COLORS = ["#0083c9", "#e69f00", "#009e73", "#cc79a7"]
INK = {"labelColor": "currentColor", "titleColor": "currentColor", "labelFontSize": 12, "titleFontSize": 12}
AXIS = {"domainColor": "currentColor", "tickColor": "currentColor", "gridOpacity": 0.25, "tickCount": 5}
CONFIG = {
    "background": None,
    "padding": {"left": 30, "top": 5, "right": 15, "bottom": 5},  # a reader's font may be wider
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": INK | AXIS | {"labelOverlap": True, "labelLimit": 150},
    "legend": INK | {"orient": "top", "title": None, "layout": {"top": {"margin": 30}}},
    "range": {"category": COLORS},
}
SIZE = {"width": 240, "height": 180}
MANY = 30  # points of all lines together, from which they need no marks
FOREGROUND = "share of foreground"
NETWORK = nominal("network", legend={"title": None})
OFFSET = {"field": "network", "sort": None}


def draw(spec: dict[str, Any], label: str) -> str:
    """Return a Vega-Lite chart as SVG that scales with the page; `label` is what a screen reader says."""
    svg = vl_convert.vegalite_to_svg(json.dumps({"config": CONFIG} | SIZE | spec))
    width, height = re.findall(r'(?:width|height)="([\d.]+)"', svg)[:2]
    head = f'<svg role="img" aria-label="{label}" viewBox="0 0 {width} {height}" style="max-width:{width}px"'
    return re.sub(r"^<svg", head, re.sub(r' (?:width|height|viewBox)="[^"]*"', "", svg, count=3))


def validation_dice(outputs: RunOutputs) -> str:
    """The validation Dice of each epoch."""
    rows = _rows(outputs.curves, epoch="epoch", Dice="val_dice")
    return draw(_lines(rows, "epoch", "Dice"), "Validation Dice by epoch")


def losses(outputs: RunOutputs) -> str:
    """The loss of each epoch, on training and validation images."""
    rows = [
        row | {"part": part}
        for part, column in (("training", "train_loss"), ("validation", "val_loss"))
        for row in _rows(outputs.curves, epoch="epoch", loss=column)
    ]
    part = {"strokeWidth": NETWORK | {"field": "part", "scale": {"range": [1, 3]}}}
    return draw(_lines(rows, "epoch", "loss", **part), "Loss by epoch")


def dice_by_threshold(outputs: RunOutputs) -> str:
    """The mean Dice of the test images at each threshold, and the thresholds that were chosen."""
    rows = _rows(outputs.thresholds, threshold="threshold", Dice="dice")
    thresholds = outputs.details["thresholds"].items()
    chosen = [{"network": network_title(name), "threshold": value} for name, value in thresholds]
    rule = {
        "data": {"values": chosen},
        "mark": "rule",
        "encoding": {"x": quantitative("threshold"), "color": NETWORK, "strokeDash": NETWORK},
    }
    return draw({"layer": [_lines(rows, "threshold", "Dice"), rule]}, "Dice by threshold")


def precision_recall(outputs: RunOutputs) -> str:
    """Precision by recall of all pixels, at each threshold."""
    rows = _rows(outputs.thresholds, recall="recall", precision="precision", threshold="threshold")
    lines = _lines(rows, "recall", "precision", order=quantitative("threshold"))
    return draw(lines, "Precision by recall")


def reliability(outputs: RunOutputs) -> str:
    """The share of foreground among pixels by their probability: on the diagonal if calibrated."""
    rows = _rows(outputs.reliability, probability="probability", **{FOREGROUND: "foreground"})
    lines = _lines(rows, "probability", FOREGROUND)
    diagonal = {
        "data": {"values": [{"probability": value, FOREGROUND: value} for value in (0, 1)]},
        "mark": {"type": "line", "strokeDash": [2, 3], "color": "gray"},
        "encoding": {axis: lines["encoding"][axis] for axis in ("x", "y")},
    }
    return draw({"layer": [lines, diagonal]}, "Share of foreground by probability")


def failures(outputs: RunOutputs) -> str:
    """The share of each network's lost Dice by kind of failure."""
    kinds, lost = [*KINDS, WRONG_MASK], outputs.details["failures"]
    rows = [
        {"network": network_title(name), "kind": kind, "share": lost[name][kind]["lost_dice"]}
        for name in outputs.names
        for kind in kinds
    ]
    encoding = {
        "y": nominal("kind", sort=kinds, title=None),
        "yOffset": OFFSET,
        "x": quantitative("share", axis={"format": "%"}, title="share of the lost Dice"),
        "color": NETWORK,
    }
    bars = {"height": {"step": 14}, "data": {"values": rows}, "mark": "bar", "encoding": encoding}
    return draw(bars, "Share of the lost Dice by kind of failure")


def by_group(outputs: RunOutputs, table: list[dict[str, Any]], label: str) -> str:
    """The mean Dice of each group with its interval."""
    rows = [
        {"network": network_title(name), "group": f"{row['label']} ({row['images']})", **row[name]}
        | ({} if row["images"] >= FEWEST else dict.fromkeys(("low", "high"), row[name]["dice"]))
        for row in table
        for name in outputs.names
    ]
    shared = {"y": nominal("group", title=None), "yOffset": OFFSET, "color": NETWORK}
    axis = {"scale": {"zero": False}, "title": "mean Dice, 95 % interval"}
    rules, points = intervals("dice", shared, {"size": 50}, **axis)
    points["encoding"]["shape"] = NETWORK | {"legend": None}
    layers = {"height": {"step": 12}, "data": {"values": rows}, "layer": [rules, points]}
    return draw(layers, f"Dice by {label}")


def _rows(tables: Mapping[str, Table], **columns: str) -> list[dict[str, Any]]:
    """Take columns of each network's table, under their titles."""
    return [
        {"network": network_title(name)} | {title: float(row[column]) for title, column in columns.items()}
        for name, table in tables.items()
        for row in table
    ]


def _lines(rows: list[dict[str, Any]], x: str, y: str, **more: Any) -> dict[str, Any]:
    """Return a line for each network; `more` encodes further columns."""
    axes = {"x": quantitative(x), "y": quantitative(y, scale={"zero": False})}
    return {
        "data": {"values": rows},
        "mark": {"type": "line", "point": {"strokeWidth": 0} if len(rows) < MANY else False},
        "encoding": axes | {"color": NETWORK, "strokeDash": NETWORK} | more,
    }
