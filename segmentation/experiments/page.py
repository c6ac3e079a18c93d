"""What the kept results of a file of questions show: a table with verdicts, and a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from segmentation.experiments.analysis import NARROW, Verdict
from segmentation.experiments.comparisons import Comparison, incomplete, latest_code, uncompared
from segmentation.experiments.plan import Plan, code_hash, runs
from segmentation.experiments.results import Results
from segmentation.models.build import network_title

VERDICT_COLORS: dict[Verdict, str] = {
    "better": "#009e73",
    "worse": "#d55e00",
    "no difference shown": "#0083c9",
    "too few runs to say": "#888888",
}
TEMPLATE = Path(__file__).with_name("page.md")


def markdown(path: Path, plan: Plan, results: Results, found: Sequence[Comparison]) -> str:
    """Return the page about the file of questions at `path`; `forest` draws its picture."""
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    code = latest_code(results)
    mine = results.of_code(code)
    wanted = {each.key for each in runs(plan, {})}
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=path.stem.replace("_", " ").capitalize(),
        name=path.stem,
        file=path.name,
        plan=plan,
        runs=len(wanted & {row["run"] for row in mine}),
        wanted=len(wanted),
        current=code == code_hash(),
        budget=", ".join(f"`{key}={value}`" for key, value in plan.budget.items()),
        images=len(results.images),
        hardware=" and ".join(dict.fromkeys(row["hardware"] for row in mine)),
        code=code,
        others=len(results.rows) - len(mine),
        found=found,
        uncompared=[
            (question.question, arm.name, network_title(network), len(arm.seeds), arm.spread)
            for question, network, arm in uncompared(plan, results)
        ],
        narrow=NARROW,
        incomplete=incomplete(plan, results),
    )


def forest(found: Sequence[Comparison]) -> dict[str, Any]:
    """Return a Vega-Lite chart of all differences with their intervals."""
    values = [
        {"label": f"{each.question.question} {each.label}", "verdict": each.difference.verdict}
        | {key: getattr(each.difference, key) for key in ("mean", "low", "high")}
        for each in found
    ]
    label = {"field": "label", "type": "nominal", "sort": None, "title": None, "axis": {"labelLimit": 600}}
    color = {
        "field": "verdict",
        "type": "nominal",
        "scale": {"domain": list(VERDICT_COLORS), "range": list(VERDICT_COLORS.values())},
        "legend": {"orient": "top", "title": None},
    }
    x = {"field": "mean", "type": "quantitative", "title": "difference in mean Dice"}
    return {
        "data": {"values": values},
        "width": 360,
        "height": {"step": 20},
        "layer": [
            {"mark": {"type": "rule", "strokeDash": [4, 4]}, "encoding": {"x": {"datum": 0}}},
            {
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {
                    "x": x | {"field": "low"},
                    "x2": {"field": "high"},
                    "y": label,
                    "color": color,
                },
            },
            {
                "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
                "encoding": {"x": x, "y": label, "color": color},
            },
        ],
    }
