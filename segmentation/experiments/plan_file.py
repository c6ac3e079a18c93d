"""Reading a file of questions, and what the command line adds to it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError
from ruamel.yaml import YAML  # unlike PyYAML, it refuses a key that appears twice

from segmentation.common.errors import InputError, reason
from segmentation.common.leaves import Leaves
from segmentation.experiments.plan import ADDRESSES, PRESET, SEED, Plan, Question, run_of
from segmentation.models.build import network_names

DATA_OF_ARMS = ("data.limit", "data.foreground")  # that leave the test images what they are


def read_plan(path: Path) -> Plan:
    """Read a file of questions; raises `InputError` with one line if it is not one."""
    try:
        plan = Plan.model_validate(YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(reason(error)) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(f"{path}: {where}: {first['msg']}") from None
    except Exception as error:  # besides its own errors ruamel lets through those of the values' constructors
        said = " ".join(str(error).split("To suppress this check")[0].split()) or type(error).__name__
        raise InputError(f"{path}: not readable as YAML: {said[:300]}") from None
    with _within(path):
        _check(plan)
    return plan


@contextmanager
def _within(where: object) -> Iterator[None]:
    """Say in an `InputError` where it was."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _check(plan: Plan) -> None:
    if len(set(plan.seeds)) < len(plan.seeds):
        raise InputError("seeds: each may appear only once")
    if len({question.question for question in plan.questions}) < len(plan.questions):
        raise InputError("questions: two have the same text")
    seeds = (SEED, "data.seed") if plan.split_by_seed else (SEED,)
    for key, place in (*((seed, "seeds") for seed in seeds), (PRESET, "base, or in an arm")):
        if key in plan.budget:
            raise InputError(f"budget: {key}: belongs in {place}")
    with _within("base and budget"):
        run_of(plan, {}, plan.seeds[0])
    for question in plan.questions:
        with _within(question.question):
            _check_question(plan, question)


def _check_question(plan: Plan, question: Question) -> None:
    names = question.networks or list(question.arms)
    if unknown := set(question.networks or ()) - set(network_names()):
        raise InputError(f"no network {min(unknown)}")
    if question.claim is not None and question.claim not in names:
        raise InputError(f"claim must be one of {', '.join(names)}")
    if len(set(names)) < 2 or (question.networks and len(question.arms) > 1):
        raise InputError("needs two arms, or one arm and two networks")
    keys = set()
    for name, arm in question.arms.items():
        with _within(name):
            for key in sorted(arm.keys() - {PRESET, *DATA_OF_ARMS}):
                if key == SEED or key.startswith(("data.", "machine.")):
                    raise InputError(f"{key}: the same for all arms; set it in the budget, or seeds")
            run = run_of(plan, arm, plan.seeds[0])
            if left_out := [network for network in question.networks or () if not run.trains(network)]:
                raise InputError(f"compares {left_out[0]}, but networks.{left_out[0]} is false")
            keys.add(run.key)
    if len(keys) < len(question.arms):
        raise InputError("two arms have the same params")


def settings(given: Sequence[str]) -> Leaves:
    """Read addresses and `machine.*` from `key=value`s; raises `InputError` for anything else."""
    leaves: Leaves = {}
    for setting in given:
        key, equals, value = setting.partition("=")
        machine = key.startswith("machine.") and value.isdecimal()
        if not equals or not (key in ADDRESSES or machine):
            allowed = f"{', '.join(ADDRESSES)} and machine.*"
            raise InputError(f"{setting}: only {allowed} can be set here, as key=value; the rest in the file")
        leaves[key] = int(value) if machine else value
    return leaves


def check_addresses(file: Path, plan: Plan) -> None:
    """Raise `InputError` if a plan names archives by their md5 alone: each of its runs would fail."""
    for address in ADDRESSES:
        if address.replace("_url", "_md5") in plan.budget and address not in plan.budget:
            raise InputError(f"{file}: has the md5 of an archive; add where it is: -S {address}=file:///path")
