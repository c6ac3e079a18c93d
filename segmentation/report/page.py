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
from segmentation.experiments.charts import forest
from segmentation.experiments.comparisons import ArmComparison, comparisons
from segmentation.experiments.plan_file import read_plan
from segmentation.experiments.results import read_results
from segmentation.models.build import network_title
from segmentation.report import charts
from segmentation.report.checks import ENOUGH, checks
from segmentation.report.outputs import RunOutputs, commit, matches_commit
from segmentation.training.fingerprint import installed
from segmentation.workspace import other_results

TEMPLATE = Path(__file__).with_name("page.html")
EXPERIMENTS = Path("experiments")
WORST = 5  # images on the first screen
CHARTS = {
    "dice": charts.validation_dice,
    "losses": charts.losses,
    "threshold": charts.dice_by_threshold,
    "precision_recall": charts.precision_recall,
    "reliability": charts.reliability,
    "failures": charts.failures,
}
GROUP_TITLES = {"foreground": charts.FOREGROUND}  # the others are called as in metrics/details.json


def page(outputs: RunOutputs, params: str) -> str:
    """Return the page about a run that was made with these `params`, the text of params.yaml."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = lambda value: f"{100 * value:.0f} %"
    details, committed = outputs.details, matches_commit()
    images = gallery(outputs)
    groups = {GROUP_TITLES.get(name, name): table for name, table in details["groups"].items()}
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        headline=headline(outputs),
        outputs=outputs,
        details=details,
        titles={name: network_title(name) for name in outputs.names},
        rows=[
            *(
                {"title": network_title(name), "trivial": False} | outputs.test[name]
                for name in outputs.names
            ),
            *(
                {"title": BASELINES[name], "trivial": True} | row
                for name, row in details["baselines"].items()
            ),
        ],
        checks=checks(outputs, committed),
        badly_calibrated=badly_calibrated(details),
        worst=images[:WORST],
        images=images,
        kinds=[*KINDS, WRONG_MASK],
        groups=sorted({image["group"] for image in images} - {""}),
        legend={label: f"rgb{color}" for label, color in LEGEND.items()},
        charts={name: Markup(draw(outputs)) for name, draw in CHARTS.items()},
        breakdown={
            title: (Markup(charts.by_group(outputs, table, title)), table) for title, table in groups.items()
        },
        experiments=experiments(),
        params=params,
        versions={"Python": platform.python_version()} | dict(installed()),
        commit="" if committed is None else commit(),
        other_results=other_results(),
    )


def headline(outputs: RunOutputs) -> str:
    """Say in one sentence which network wins, by how much, and how sure that is."""
    test, first = outputs.test, outputs.names[0]
    best, *others = sorted(outputs.names, key=lambda name: test[name]["dice"], reverse=True)
    if not others:
        return f"{network_title(best)} reaches a mean Dice of {test[best]['dice']:.3f}."
    second = others[0]
    if first not in (best, second):
        return f"{network_title(best)} has the highest mean Dice, {test[best]['dice']:.3f}."
    gap = test["difference"][second if best == first else best]  # minus the first network
    gain, low, high = gap["dice"], gap["low"], gap["high"]
    if best == first:
        gain, low, high = 0 - gain, 0 - high, 0 - low  # no negative zero
    names = f"{network_title(best)} and {network_title(second)}"
    if outputs.details["images"] < ENOUGH:
        return f"Too few test images ({outputs.details['images']}) to say whether {names} differ."
    if low <= 0:
        return (
            f"No clear winner between {names}: the difference in mean Dice is {gain:.3f},"
            f" with a 95 % interval from {low:.3f} to {high:.3f}."
        )
    return (
        f"{network_title(best)} beats {network_title(second)} by {gain:.3f} mean Dice"
        f" (95 % interval {low:.3f} to {high:.3f})."
    )


def gallery(outputs: RunOutputs) -> list[dict[str, Any]]:
    """Return what the page shows of each image in the gallery, worst first."""
    rows_by_image: dict[str, list[dict[str, str]]] = {}
    for row in outputs.images:
        rows_by_image.setdefault(row["id"], []).append(row)
    images = []
    for image_id, data in outputs.gallery.items():
        rows = rows_by_image[image_id]
        images.append(
            {
                "id": image_id,
                "group": rows[0]["group"],
                "twin": rows[0]["twin"] == "1",
                "dice": {row["model"]: float(row["dice"]) for row in rows},
                "failure": {row["model"]: row["failure"] for row in rows},
                "source": f"data:image/jpeg;base64,{base64.b64encode(data).decode()}",
            }
        )
    return sorted(images, key=lambda image: min(image["dice"].values()))


def experiments() -> dict[str, tuple[list[ArmComparison], Markup]]:
    """Return the comparisons of each file of questions, and their chart."""
    shown = {}
    for path in sorted(EXPERIMENTS.glob("*.yaml")):
        with suppress(InputError):  # tools.experiments says what is wrong with it
            if pairs := comparisons(read_plan(path), read_results(path)):
                svg = charts.draw(forest(pairs), f"differences of {path.stem}")
                shown[path.stem] = pairs, Markup(svg)
    return shown
