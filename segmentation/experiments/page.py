"""What the kept results of a file of questions show: a table with verdicts, and a picture."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, StrictUndefined
from numpy.typing import NDArray

from segmentation.experiments.analysis import (
    NARROW,
    Difference,
    Verdict,
    answer,
    paired_difference,
    seed_difference,
)
from segmentation.experiments.plan import Plan, Question, code_hash, run_of, runs
from segmentation.experiments.results import Results, Row
from segmentation.models.build import network_names, network_title

VERDICT_COLORS: dict[Verdict, str] = {
    "better": "#009e73",
    "worse": "#d55e00",
    "no difference shown": "#0083c9",
    "too few runs to say": "#888888",
}
TEMPLATE = Path(__file__).with_name("page.md")


class Arm(NamedTuple):
    """The runs of one network in one arm: each image's Dice `(S, I)`, and each seed's soft Dice `(S,)`."""

    name: str
    seeds: list[str]
    dice: NDArray[np.float64]
    soft: NDArray[np.float64]

    @property
    def spread(self) -> str:
        """Return the mean Dice of all seeds, and the range of theirs."""
        means = self.dice.mean(axis=1)
        return f"{means.mean():.4f} ({means.min():.4f} to {means.max():.4f})"


class Comparison(NamedTuple):
    """An arm against the reference of its question, with one network."""

    question: Question
    network: str
    reference: Arm
    arm: Arm
    difference: Difference
    soft: Difference

    @property
    def label(self) -> str:
        """Name the comparison: what against what, in which network."""
        if self.question.networks:
            return " minus ".join(network_title(each.name) for each in (self.arm, self.reference))
        return f"{self.arm.name} minus {self.reference.name}, {network_title(self.network)}"

    @property
    def about_the_claim(self) -> str:
        """Say how the verdict relates to what the lab report found, if it did of these two."""
        claim = self.question.claim
        if claim not in (self.arm.name, self.reference.name):
            return "-"
        return answer(self.difference, "better" if claim == self.arm.name else "worse")

    @property
    def other_verdict(self) -> str:
        """Return the verdict by the lab report's score, if it is another one."""
        return "-" if self.soft.verdict == self.difference.verdict else self.soft.verdict


def comparisons(plan: Plan, results: Results) -> list[Comparison]:
    """Return all comparisons for which both arms have at least two seeds in common."""
    found = []
    rows = {(row["run"], row["network"]): row for row in results.of_code(latest_code(results))}
    for question in plan.questions:
        for network, reference, arm in _pairs(plan, question, rows, results):
            common = [seed for seed in reference.seeds if seed in arm.seeds]
            if len(common) < 2:
                continue
            one, other = (_only(each, common) for each in (reference, arm))
            difference = paired_difference(other.dice - one.dice)
            soft = seed_difference(other.soft - one.soft)
            found.append(Comparison(question, network, one, other, difference, soft))
    return found


def latest_code(results: Results) -> str:
    """Return the version of the code that the latest row is of."""
    return results.rows[-1]["code"]


def _pairs(
    plan: Plan, question: Question, rows: Mapping[tuple[str, str], Row], results: Results
) -> Iterator[tuple[str, Arm, Arm]]:
    keys = {
        name: [run_of(plan, arm, seed, {}).key for seed in plan.seeds] for name, arm in question.arms.items()
    }
    if question.networks:
        (only,) = keys.values()
        first, *others = (_arm(name, only, name, rows, results) for name in question.networks)
        yield from ((other.name, first, other) for other in others)
        return
    for network in network_names():
        arms = [_arm(name, keys[name], network, rows, results) for name in question.arms]
        yield from ((network, arms[0], other) for other in arms[1:])


def _arm(
    name: str,
    keys: list[str],
    network: str,
    rows: Mapping[tuple[str, str], Row],
    results: Results,
) -> Arm:
    mine = [rows[key, network] for key in keys if (key, network) in rows]
    dice = [results.dice[row["run"], row["code"], network] for row in mine]
    soft = np.array([float(row["dice_soft"]) for row in mine])
    return Arm(name, [row["seed"] for row in mine], np.array(dice), soft)


def _only(arm: Arm, seeds: list[str]) -> Arm:
    places = [arm.seeds.index(seed) for seed in seeds]
    return Arm(arm.name, seeds, arm.dice[places], arm.soft[places])


def markdown(path: Path, plan: Plan, results: Results, found: Sequence[Comparison]) -> str:
    """Return the page about the file of questions at `path`; `forest` draws its picture."""
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    code = latest_code(results)
    mine = results.of_code(code)
    asked = {each.question.question for each in found}
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=path.stem.replace("_", " ").capitalize(),
        name=path.stem,
        file=path.name,
        plan=plan,
        runs=len({each.key for each in runs(plan, {})} & {row["run"] for row in mine}),
        current=code == code_hash(),
        budget=", ".join(f"`{key}={value}`" for key, value in plan.budget.items()),
        images=len(results.images),
        hardware=", ".join(dict.fromkeys(row["hardware"] for row in mine)),
        code=code,
        others=len(results.rows) - len(mine),
        found=found,
        narrow=NARROW,
        incomplete=[each.question for each in plan.questions if each.question not in asked],
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
