"""A file of questions: which trainings they need, and which pairs of them are compared."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from segmentation.common.errors import InputError
from segmentation.models.build import network_names
from segmentation.params import check_params, load_params

PRESETS = Path("presets")
PRESET = "preset"  # in an arm: the preset that it starts from instead of the file's
PIPELINE = Path("dvc.yaml")
CODE = ("segmentation", "stages", "requirements")  # how paths of code begin
SEED = "train.seed"
FOREGROUND = "data.foreground"
DATA_OF_ARMS = ("data.limit", FOREGROUND)  # that leave the test images what they are
ADDRESSES = ("data.pets.images_url", "data.pets.annotations_url")  # where the archives are decides nothing

Leaves = dict[str, Any]  # params by their dotted names


class Question(BaseModel):
    """What is asked: arms by name, each with the params that it changes; all are compared with the first.

    `claim` is the arm that the lab report finds best, if it says so.
    """

    model_config = ConfigDict(extra="forbid")
    question: str
    arms: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    claim: str | None = None
    networks: list[str] | None = None  # compared within the only arm


class Plan(BaseModel):
    """A file of questions: each arm is run with each seed, from preset `base` with the params of `budget`."""

    model_config = ConfigDict(extra="forbid")
    base: str
    budget: dict[str, Any]
    seeds: Annotated[list[int], Field(min_length=1)]
    questions: Annotated[list[Question], Field(min_length=1)]


class Run(NamedTuple):
    """A training of all networks: its params, and the hash of those that decide its result."""

    key: str
    params: Leaves


def read_plan(path: Path) -> Plan:
    """Read a file of questions; raises `InputError` with one line if it is not one."""
    try:
        plan = Plan.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as YAML: {' '.join(str(error).split())[:200]}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(f"{path}: {where}: {first['msg']}") from None
    if len(set(plan.seeds)) < len(plan.seeds):
        raise InputError(f"{path}: seeds: each may appear only once")
    for question in plan.questions:
        names = question.networks or list(question.arms)
        if unknown := set(question.networks or ()) - set(network_names()):
            raise InputError(f"{path}: {question.question}: no network {min(unknown)}")
        if question.claim is not None and question.claim not in names:
            raise InputError(f"{path}: {question.question}: claim must be one of {', '.join(names)}")
        if len(names) < 2 or (question.networks and len(question.arms) > 1):
            raise InputError(f"{path}: {question.question}: needs two arms, or one arm and two networks")
        keys = {run_of(plan, arm, plan.seeds[0], {}).key for arm in question.arms.values()}
        if len(keys) < len(question.arms):
            raise InputError(f"{path}: {question.question}: two arms have the same params")
    return plan


def run_of(plan: Plan, arm: Mapping[str, Any], seed: int, given: Mapping[str, Any]) -> Run:
    """Return the run of an arm with a seed; `given` are params from the command line.

    Raises `InputError` for params that are unknown, have a bad value, or would ask for other test images.
    """
    path = PRESETS / f"{arm.get(PRESET, plan.base)}.yaml"
    leaves = flat(load_params(path).model_dump())
    changed = {key: value for key, value in arm.items() if key != PRESET}
    if fixed := [
        key for key in changed if key == SEED or (key.startswith("data.") and key not in DATA_OF_ARMS)
    ]:
        raise InputError(f"{fixed[0]}: the same for all arms; set it in the budget, or seeds")
    changes = plan.budget | changed | dict(given)
    params = check_params(nested(leaves | changes | {SEED: seed}), path)
    leaves = flat(params.model_dump())  # 1e-4 and 0.0001 are one value
    deciding = {
        name: value
        for name, value in leaves.items()
        if name not in ADDRESSES and not name.startswith("machine.")
    }
    return Run(hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:12], leaves)


def targets_differ(plan: Plan, question: Question) -> bool:
    """Say whether arms differ in what is foreground, so that their scores cannot be compared."""
    params = (run_of(plan, arm, plan.seeds[0], {}).params for arm in question.arms.values())
    return len({frozenset(each[FOREGROUND]) for each in params}) > 1


def settings(given: Sequence[str]) -> Leaves:
    """Read addresses and `machine.*` from `key=value`s; raises `InputError` for anything else."""
    found: Leaves = {}
    for each in given:
        key, equals, value = each.partition("=")
        machine = key.startswith("machine.") and value.isdecimal()
        if not equals or not (key in ADDRESSES or machine):
            allowed = f"{', '.join(ADDRESSES)} and machine.*"
            raise InputError(f"{each}: only {allowed} can be set here, as key=value; the rest in the file")
        found[key] = int(value) if machine else value
    return found


def check_addresses(file: Path, plan: Plan, given: Mapping[str, Any]) -> None:
    """Raise `InputError` if a file names archives of its own by their md5 and nobody says where they are."""
    for address in ADDRESSES:
        if address.replace("_url", "_md5") in plan.budget and address not in {*plan.budget, *given}:
            raise InputError(f"{file}: has the md5 of an archive; add where it is: -S {address}=file:///path")


def runs(plan: Plan, given: Mapping[str, Any]) -> list[Run]:
    """Return all runs that the questions need, each once; whole seeds come first, so that all arms grow."""
    found = {
        run.key: run
        for seed in plan.seeds
        for question in plan.questions
        for arm in question.arms.values()
        for run in [run_of(plan, arm, seed, given)]
    }
    return list(found.values())


def changes(plan: Plan, run: Run) -> str:
    """Name what a run changes of the file's preset and budget."""
    usual = run_of(plan, {}, run.params["train.seed"], {}).params
    differing = (f"{key}={value}" for key, value in run.params.items() if usual[key] != value)
    return ", ".join(each for each in differing if not each.startswith((*ADDRESSES, "machine.")))


def code_hash() -> str:
    """Return the hash of all code that a stage depends on by dvc.yaml."""
    stages = yaml.safe_load(PIPELINE.read_text(encoding="utf-8"))["stages"].values()
    digest = hashlib.sha256()
    for dep in sorted({dep for stage in stages for dep in stage["deps"] if dep.startswith(CODE)}):
        path = Path(dep)
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:  # as DVC (.dvcignore)
            digest.update(f"{file}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]


def flat(groups: Mapping[str, Any], prefix: str = "") -> Leaves:
    """Return the leaves of nested params by their dotted names."""
    return dict(_leaves(groups, prefix))


def _leaves(groups: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in groups.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def nested(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Return the opposite of `flat`."""
    groups: dict[str, Any] = {}
    for name, value in leaves.items():
        *path, leaf = name.split(".")
        group = groups
        for key in path:
            group = group.setdefault(key, {})
        group[leaf] = value
    return groups
