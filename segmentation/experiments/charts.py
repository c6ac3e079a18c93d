"""Charts in Vega-Lite: the parts that charts share, and the chart of all differences."""

from collections.abc import Sequence
from typing import Any

from segmentation.experiments.analysis import Verdict
from segmentation.experiments.comparisons import ArmComparison

VERDICT_COLORS: dict[Verdict, str] = {
    "better": "#009e73",
    "worse": "#d55e00",
    "no difference shown": "#0083c9",
    "too few runs to say": "#888888",
}


def nominal(field: str, **more: Any) -> dict[str, Any]:
    """Encode a field of names, in the order of the rows."""
    return {"field": field, "type": "nominal", "sort": None} | more


def quantitative(field: str, **more: Any) -> dict[str, Any]:
    """Encode a field of numbers."""
    return {"field": field, "type": "quantitative"} | more


def intervals(middle: str, shared: dict[str, Any], mark: dict[str, Any], **axis: Any) -> list[dict[str, Any]]:
    """Return two layers: rules from field `low` to field `high`, and points of this `mark` at `middle`."""
    rules = {"x": quantitative("low", **axis), "x2": {"field": "high"}}
    points = {"x": quantitative(middle, **axis)}
    return [
        {"mark": {"type": "rule", "strokeWidth": 2}, "encoding": shared | rules},
        {"mark": {"type": "point", "filled": True} | mark, "encoding": shared | points},
    ]


def forest(comparisons: Sequence[ArmComparison]) -> dict[str, Any]:
    """Return a chart of all differences with their intervals."""
    rows = [
        {"label": f"{pair.question.question} {pair.label}", "verdict": pair.difference.verdict}
        | pair.difference._asdict()
        for pair in comparisons
    ]
    colors = {"domain": list(VERDICT_COLORS), "range": list(VERDICT_COLORS.values())}
    shared = {
        "y": nominal("label", title=None, axis={"labelLimit": 600}),
        "color": nominal("verdict", scale=colors, legend={"orient": "top", "title": None}),
    }
    mark = {"size": 60, "opacity": 1}
    return {
        "data": {"values": rows},
        "width": 360,
        "height": {"step": 20},
        "layer": [
            {"mark": {"type": "rule", "strokeDash": [4, 4]}, "encoding": {"x": {"datum": 0}}},
            *intervals("mean", shared, mark, title="difference in mean Dice"),
        ],
    }
