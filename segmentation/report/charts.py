"""Charts of the page: Vega-Lite, drawn to SVG here, so that the page needs neither network nor script."""

import json
import re
from collections.abc import Mapping
from typing import Any

import vl_convert

from segmentation.evaluation.failures import KINDS, WRONG_MASK
from segmentation.models.build import network_title
from segmentation.report.results import Results, Table

# Okabe and Ito 2008: told apart by colour-blind people too, on white and on black. Dashes and shapes repeat
# what the colours say, for print in grey.
COLORS = ["#0083c9", "#e69f00", "#009e73", "#cc79a7"]
CONFIG = {
    "background": None,
    "padding": {"left": 30, "top": 5, "right": 15, "bottom": 5},  # a reader's font may be wider
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "currentColor",
        "titleColor": "currentColor",
        "domainColor": "currentColor",
        "tickColor": "currentColor",
        "gridOpacity": 0.25,
        "labelOverlap": True,
        "tickCount": 5,
        "labelLimit": 260,
    },
    "legend": {"labelColor": "currentColor", "titleColor": "currentColor", "orient": "top", "title": None},
    "range": {"category": COLORS},
}
SIZE = {"width": 300, "height": 200}
MANY = 30  # points of all lines together, from which they need no marks
FOREGROUND = "share of foreground"
NETWORK = {"field": "network", "type": "nominal", "sort": None, "legend": {"title": None}}


def draw(spec: dict[str, Any], label: str) -> str:
    """Return a Vega-Lite chart as SVG that scales with the page; `label` is what a screen reader says."""
    svg = vl_convert.vegalite_to_svg(json.dumps({"config": CONFIG} | SIZE | spec))
    width, height = re.findall(r'(?:width|height)="([\d.]+)"', svg)[:2]
    head = f'<svg role="img" aria-label="{label}" viewBox="0 0 {width} {height}" style="max-width:{width}px"'
    return re.sub(r"^<svg", head, re.sub(r' (?:width|height|viewBox)="[^"]*"', "", svg, count=3))


def validation_dice(results: Results) -> str:
    """The validation Dice of each epoch."""
    rows = _rows(results.curves, epoch="epoch", Dice="val_dice")
    return draw(_lines(rows, "epoch", "Dice"), "Validation Dice by epoch")


def losses(results: Results) -> str:
    """The loss of each epoch, on training and validation images."""
    rows = [
        row | {"part": part}
        for part, column in (("training", "train_loss"), ("validation", "val_loss"))
        for row in _rows(results.curves, epoch="epoch", loss=column)
    ]
    spec = _lines(rows, "epoch", "loss")
    spec["encoding"]["strokeWidth"] = NETWORK | {"field": "part", "scale": {"range": [1, 3]}}
    return draw(spec, "Loss by epoch")


def dice_by_threshold(results: Results) -> str:
    """The mean Dice of the test images at each threshold, and the thresholds that were chosen."""
    rows = _rows(results.thresholds, threshold="threshold", Dice="dice")
    chosen = [
        {"network": network_title(name), "threshold": value}
        for name, value in results.details["thresholds"].items()
    ]
    rule = {
        "data": {"values": chosen},
        "mark": "rule",
        "encoding": {"x": _number("threshold"), "color": NETWORK, "strokeDash": NETWORK},
    }
    return draw({"layer": [_lines(rows, "threshold", "Dice"), rule]}, "Dice by threshold")


def precision_recall(results: Results) -> str:
    """Precision by recall of all pixels, at each threshold."""
    rows = _rows(results.thresholds, recall="recall", precision="precision", threshold="threshold")
    spec = _lines(rows, "recall", "precision")
    spec["encoding"]["order"] = _number("threshold")
    return draw(spec, "Precision by recall")


def reliability(results: Results) -> str:
    """The share of foreground among pixels by their probability: on the diagonal if calibrated."""
    rows = _rows(results.reliability, probability="probability", **{FOREGROUND: "foreground"})
    curves = _lines(rows, "probability", FOREGROUND)
    diagonal = {
        "data": {"values": [{"probability": 0, FOREGROUND: 0}, {"probability": 1, FOREGROUND: 1}]},
        "mark": {"type": "line", "strokeDash": [2, 3], "color": "gray"},
        "encoding": {key: curves["encoding"][key] for key in ("x", "y")},
    }
    return draw({"layer": [curves, diagonal]}, "Share of foreground by probability")


def failures(results: Results) -> str:
    """The share of each network's lost Dice by kind of failure."""
    kinds = [*KINDS, WRONG_MASK]
    rows = [
        {
            "network": network_title(name),
            "kind": kind,
            "share": results.details["failures"][name][kind]["lost_dice"],
        }
        for name in results.names
        for kind in kinds
    ]
    spec = {
        "height": {"step": 14},
        "data": {"values": rows},
        "mark": "bar",
        "encoding": {
            "y": {"field": "kind", "type": "nominal", "sort": kinds, "title": None},
            "yOffset": {"field": "network", "sort": None},
            "x": _number("share", axis={"format": "%"}, title="share of the lost Dice"),
            "color": NETWORK,
        },
    }
    return draw(spec, "Share of the lost Dice by kind of failure")


def by_group(results: Results, table: list[dict[str, Any]], label: str) -> str:
    """The mean Dice of each group with its interval."""
    rows = [
        {"network": network_title(name), "group": f"{row['label']} ({row['images']})", **row[name]}
        for row in table
        for name in results.names
    ]
    base = {
        "y": {"field": "group", "type": "nominal", "sort": None, "title": None},
        "yOffset": {"field": "network", "sort": None},
        "color": NETWORK,
    }
    scale = {"scale": {"zero": False}, "title": "mean Dice, 95 % interval"}
    layers = [
        {
            "mark": {"type": "rule", "strokeWidth": 2},
            "encoding": base | {"x": _number("low", **scale), "x2": {"field": "high"}},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 50},
            "encoding": base | {"x": _number("dice", **scale), "shape": NETWORK | {"legend": None}},
        },
    ]
    return draw({"height": {"step": 12}, "data": {"values": rows}, "layer": layers}, f"Dice by {label}")


def _rows(tables: Mapping[str, Table], **columns: str) -> list[dict[str, Any]]:
    """Take columns of each network's table, under their titles."""
    return [
        {"network": network_title(name)} | {title: float(row[column]) for title, column in columns.items()}
        for name, table in tables.items()
        for row in table
    ]


def _lines(rows: list[dict[str, Any]], x: str, y: str) -> dict[str, Any]:
    return {
        "data": {"values": rows},
        "mark": {"type": "line", "point": {"strokeWidth": 0} if len(rows) < MANY else False},
        "encoding": {
            "x": _number(x),
            "y": _number(y, scale={"zero": False}),
            "color": NETWORK,
            "strokeDash": NETWORK,
        },
    }


def _number(field: str, **more: Any) -> dict[str, Any]:
    return {"field": field, "type": "quantitative"} | more
