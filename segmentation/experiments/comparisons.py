"""Arms of questions, with their runs, and what is compared of them."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segmentation.experiments.analysis import Difference, answer, paired_difference, seed_difference
from segmentation.experiments.plan import Plan, Question, run_of, targets_differ
from segmentation.experiments.results import Results
from segmentation.models.build import network_names, network_title


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
        return _label(self.question, self.network, self.reference, self.arm)

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
    """Return all comparisons for which both arms have at least two seeds in common.

    Arms with other true masks are not compared: see `uncompared`.
    """
    found = []
    for question, network, reference, arm in _pairs(plan, results):
        common = _common(reference, arm)
        if len(common) >= 2:
            one, other = (_only(each, common) for each in (reference, arm))
            difference = paired_difference(other.dice - one.dice)
            soft = seed_difference(other.soft - one.soft)
            found.append(Comparison(question, network, one, other, difference, soft))
    return found


def incomplete(plan: Plan, results: Results) -> list[str]:
    """Name the comparisons for which two common seeds are not there yet."""
    return [
        f"{question.question} ({_label(question, network, reference, arm)})"
        for question, network, reference, arm in _pairs(plan, results)
        if len(_common(reference, arm)) < 2
    ]


def _label(question: Question, network: str, reference: Arm, arm: Arm) -> str:
    if question.networks:
        return f"{network_title(arm.name)} minus {network_title(reference.name)}"
    return f"{arm.name} minus {reference.name}, {network_title(network)}"


def latest_code(results: Results) -> str:
    """Return the version of the code that the latest row is of."""
    return results.rows[-1]["code"]


def uncompared(plan: Plan, results: Results) -> list[tuple[Question, str, Arm]]:
    """Return the network and arm of questions whose arms differ in their true masks."""
    return [
        (question, network, arm)
        for question in plan.questions
        if targets_differ(plan, question)
        for network in network_names()
        for arm in _arms(plan, question, network, results)
        if arm.seeds
    ]


def _pairs(plan: Plan, results: Results) -> Iterator[tuple[Question, str, Arm, Arm]]:
    """Yield the network, reference and arm of all comparisons that can be made."""
    for question in plan.questions:
        if targets_differ(plan, question):
            continue
        if question.networks:
            first, *others = (
                arm for name in question.networks for arm in _arms(plan, question, name, results)
            )
            yield from ((question, other.name, first, other) for other in others)
            continue
        for network in network_names():
            first, *others = _arms(plan, question, network, results)
            yield from ((question, network, first, other) for other in others)


def _common(reference: Arm, arm: Arm) -> list[str]:
    return [seed for seed in reference.seeds if seed in arm.seeds]


def _arms(plan: Plan, question: Question, network: str, results: Results) -> list[Arm]:
    rows = {row["run"]: row for row in results.of_code(latest_code(results)) if row["network"] == network}
    found = []
    for name, arm in question.arms.items():
        keys = (run_of(plan, arm, seed, {}).key for seed in plan.seeds)
        mine = [rows[key] for key in keys if key in rows]
        dice = np.array([results.dice[row["run"], row["code"], network] for row in mine])
        soft = np.array([float(row["dice_soft"]) for row in mine])
        name = network if question.networks else name
        found.append(Arm(name, [row["seed"] for row in mine], dice, soft))
    return found


def _only(arm: Arm, seeds: list[str]) -> Arm:
    places = [arm.seeds.index(seed) for seed in seeds]
    return Arm(arm.name, seeds, arm.dice[places], arm.soft[places])
