"""Arms of questions, with their runs, and what is compared of them."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segmentation.experiments import analysis
from segmentation.experiments.plan import Plan, Question, run_of, targets_differ
from segmentation.experiments.results import KeptResults, key_of
from segmentation.models.build import network_names, network_title


class Arm(NamedTuple):
    """The runs of one network in one arm: each image's Dice `(S, I)`, and each seed's soft Dice `(S,)`."""

    name: str
    network: str
    seeds: list[str]
    dice: NDArray[np.float64]
    soft: NDArray[np.float64]

    @property
    def spread(self) -> str:
        """Return the mean Dice of all seeds, and the range of theirs."""
        means = np.nanmean(self.dice, axis=1)
        return f"{means.mean():.4f} ({means.min():.4f} to {means.max():.4f})"

    def only(self, seeds: list[str]) -> "Arm":
        """Return the arm with the runs of these seeds."""
        rows = [self.seeds.index(seed) for seed in seeds]
        return Arm(self.name, self.network, seeds, self.dice[rows], self.soft[rows])


class ArmComparison(NamedTuple):
    """An arm and the reference of its question, both with the seeds that they have in common."""

    question: Question
    label: str  # what minus what, in which network
    reference: Arm
    arm: Arm

    @property
    def difference(self) -> analysis.Difference:
        """The arm's Dice minus the reference's."""
        differences = self.arm.dice - self.reference.dice
        tested = ~np.isnan(differences)
        if tested.all():
            return analysis.paired_difference(differences)
        return analysis.seed_difference(np.nanmean(differences, axis=1), float(tested.mean()))

    @property
    def about_the_claim(self) -> str:
        """Say how the verdict relates to what the lab report found, if it compared these two."""
        claim = self.question.claim
        if claim not in (self.arm.name, self.reference.name):
            return "-"
        return analysis.compare_with_claim(self.difference, "better" if claim == self.arm.name else "worse")

    @property
    def other_verdict(self) -> str:
        """The verdict by the lab report's score, if it is another one."""
        verdict = analysis.seed_difference(self.arm.soft - self.reference.soft).verdict
        return "-" if verdict == self.difference.verdict else verdict


def comparisons(plan: Plan, results: KeptResults) -> list[ArmComparison]:
    """Return the comparisons whose two arms have at least two seeds in common.

    Arms with other true masks are not compared: see `uncompared`.
    """
    return [pair for pair in pairs(plan, results) if len(pair.arm.seeds) >= 2]


def uncompared(plan: Plan, results: KeptResults) -> list[tuple[Question, Arm]]:
    """Return the arms with runs of the questions whose arms differ in their true masks."""
    different = [question for question in plan.questions if targets_differ(plan, question)]
    return [(question, arm) for question in different for arm in _arms(plan, question, results) if arm.seeds]


def pairs(plan: Plan, results: KeptResults) -> Iterator[ArmComparison]:
    """Yield all comparisons; those that have no two common seeds yet have no difference."""
    for question in plan.questions:
        if targets_differ(plan, question):
            continue
        arms = _arms(plan, question, results)
        groups = [[arm for arm in arms if arm.network == network] for network in network_names()]
        for reference, *others in [arms] if question.networks else filter(None, groups):
            for arm in others:
                label = f"{arm.name} minus {reference.name}, {network_title(arm.network)}"
                if question.networks:
                    label = f"{network_title(arm.network)} minus {network_title(reference.network)}"
                common = [seed for seed in reference.seeds if seed in arm.seeds]
                yield ArmComparison(question, label, reference.only(common), arm.only(common))


def _arms(plan: Plan, question: Question, results: KeptResults) -> list[Arm]:
    """Return each arm of a question in each network that it trains, with the runs that are there."""
    arms = []
    for network in question.networks or network_names():
        rows_by_run = {row["run"]: row for row in results.latest if row["network"] == network}
        for name, changes in question.arms.items():
            runs = [run_of(plan, changes, seed) for seed in plan.seeds]
            if not runs[0].trains(network):
                continue
            rows = [rows_by_run[run.key] for run in runs if run.key in rows_by_run]
            dice = np.array([results.dice[key_of(row)] for row in rows])
            soft = np.array([float(row["dice_soft"]) for row in rows])
            seeds = [row["seed"] for row in rows]
            arms.append(Arm(network if question.networks else name, network, seeds, dice, soft))
    return arms
