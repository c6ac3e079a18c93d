"""What the kept results of a file of questions show, as a page with verdicts."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from segmentation.experiments.analysis import NARROW
from segmentation.experiments.comparisons import ArmComparison, pairs, uncompared
from segmentation.experiments.plan import Plan, code_hash, runs
from segmentation.experiments.results import KeptResults
from segmentation.models.build import network_title

TEMPLATE = Path(__file__).with_name("page.md")


def markdown(path: Path, plan: Plan, results: KeptResults, comparisons: Sequence[ArmComparison]) -> str:
    """Return the page about the file of questions at `path`; `charts.forest` draws its chart."""
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    latest = results.latest
    code = latest[-1]["code"]
    incomplete = [pair for pair in pairs(plan, results) if len(pair.arm.seeds) < 2]
    wanted = {run.key for run in runs(plan)}
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        path=path,
        plan=plan,
        results=results,
        runs=len(wanted & {row["run"] for row in latest}),
        wanted=len(wanted),
        current=code == code_hash(),
        budget=", ".join(f"`{key}={value}`" for key, value in plan.budget.items()),
        hardware=" and ".join(dict.fromkeys(row["hardware"] for row in latest)),
        code=code,
        others=len(results.rows) - len(latest),
        comparisons=comparisons,
        uncompared=uncompared(plan, results),
        network_title=network_title,
        narrow=NARROW,
        incomplete=[f"{pair.question.question} ({pair.label})" for pair in incomplete],
    )
