"""One HTML file about a run, that needs no network, and no script except to sort and filter images."""

import base64
import platform
from contextlib import suppress
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from segmentation.common.errors import InputError
from segmentation.evaluation.failures import KINDS, WRONG_MASK
from segmentation.evaluation.overlays import LEGEND
from segmentation.evaluation.tables import BASELINES, badly_calibrated
from segmentation.experiments.comparisons import Comparison, comparisons
from segmentation.experiments.page import forest
from segmentation.experiments.plan_file import read_plan
from segmentation.experiments.results import read_results as read_kept
from segmentation.models.build import network_title
from segmentation.report import charts
from segmentation.report.checks import ENOUGH, checks
from segmentation.report.repository import commit, matches_commit
from segmentation.report.results import Results
from segmentation.training.fingerprint import installed

TEMPLATE = Path(__file__).with_name("page.html")
EXPERIMENTS = Path("experiments")
WORST = 5  # images on the first screen
GROUPS = {
    "group": "group",
    "species": "species",
    "foreground": "share of foreground",
    "brightness": "brightness",
    "contrast": "contrast",
}


def page(results: Results, params: str) -> str:
    """Return the page about a run that was made with these `params`, the text of params.yaml."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = lambda value: f"{100 * value:.0f} %"
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    details, committed = results.details, matches_commit()
    images = gallery(results)
    return template.render(
        headline=headline(results),
        results=results,
        details=details,
        titles={name: network_title(name) for name in results.names},
        rows=_table(results),
        checks=checks(results, committed),
        badly_calibrated=badly_calibrated(details),
        worst=images[:WORST],
        images=images,
        kinds=[*KINDS, WRONG_MASK],
        groups=sorted({image["group"] for image in images} - {""}),
        legend={label: f"rgb{color}" for label, color in LEGEND.items()},
        charts={
            name: Markup(draw(results))
            for name, draw in {
                "dice": charts.validation_dice,
                "losses": charts.losses,
                "threshold": charts.dice_by_threshold,
                "precision_recall": charts.precision_recall,
                "reliability": charts.reliability,
                "failures": charts.failures,
            }.items()
        },
        breakdown={
            title: (Markup(charts.by_group(results, details["groups"][name], title)), details["groups"][name])
            for name, title in GROUPS.items()
            if name in details["groups"]
        },
        experiments=experiments(),
        params=params,
        versions={"Python": platform.python_version()} | dict(installed()),
        commit="" if committed is None else commit(),
    )


def headline(results: Results) -> str:
    """Say in one sentence which network wins, by how much, and how sure that is."""
    first, *others = results.names
    if not others:
        return f"{network_title(first)} reaches a mean Dice of {results.test[first]['dice']:.3f}."
    best = max(results.names, key=lambda name: results.test[name]["dice"])
    other = max((name for name in results.names if name != best), key=lambda name: results.test[name]["dice"])
    if first not in (best, other):
        return f"{network_title(best)} has the highest mean Dice, {results.test[best]['dice']:.3f}."
    gap = results.test["difference"][other if best == first else best]
    gain, low, high = (gap["dice"], gap["low"], gap["high"])
    if best == first:
        gain, low, high = 0 - gain, 0 - high, 0 - low  # no negative zero
    names = f"{network_title(best)} and {network_title(other)}"
    if results.details["images"] < ENOUGH:
        return f"Too few test images ({results.details['images']}) to say whether {names} differ."
    if low <= 0:
        return (
            f"No clear winner between {names}: the difference in mean Dice is {gain:.3f},"
            f" with a 95 % interval from {low:.3f} to {high:.3f}."
        )
    return (
        f"{network_title(best)} beats {network_title(other)} by {gain:.3f} mean Dice"
        f" (95 % interval {low:.3f} to {high:.3f})."
    )


def gallery(results: Results) -> list[dict[str, Any]]:
    """Return what the page shows of each image in the gallery, worst first."""
    rows: dict[str, dict[str, dict[str, str]]] = {}
    for row in results.images:
        rows.setdefault(row["id"], {})[row["model"]] = row
    images = []
    for image_id, data in results.gallery.items():
        found = rows[image_id]
        first = next(iter(found.values()))
        images.append(
            {
                "id": image_id,
                "group": first["group"],
                "twin": first["twin"] == "1",
                "dice": {name: float(row["dice"]) for name, row in found.items()},
                "failure": {name: row["failure"] for name, row in found.items()},
                "source": f"data:image/jpeg;base64,{base64.b64encode(data).decode()}",
            }
        )
    return sorted(images, key=lambda image: min(image["dice"].values()))


def experiments() -> dict[str, tuple[list[Comparison], Markup]]:
    """Return what each file of questions has found, and its picture."""
    found = {}
    for path in sorted(EXPERIMENTS.glob("*.yaml")):
        with suppress(InputError):  # tools.experiments says what is wrong with it
            plan, kept = read_plan(path), read_kept(path)
            compared = comparisons(plan, kept) if kept.rows else []
            if not compared:
                continue
            svg = charts.draw(forest(compared), f"differences of {path.stem}")
            found[path.stem] = compared, Markup(svg)
    return found


def _table(results: Results) -> list[dict[str, Any]]:
    baselines = results.details["baselines"]
    return [
        *({"title": network_title(name), "trivial": False} | results.test[name] for name in results.names),
        *({"title": BASELINES[name], "trivial": True} | row for name, row in baselines.items()),
    ]
