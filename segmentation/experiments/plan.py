"""Questions: which trainings they need, and which pairs of them are compared."""

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from segmentation.common.errors import InputError
from segmentation.params import check_params, load_params

PRESETS = Path("presets")
PRESET = "preset"  # in an arm: the preset that it starts from instead of the file's
PIPELINE = Path("dvc.yaml")
CODE = ("segmentation", "stages", "requirements")  # how paths of code begin
SEED = "train.seed"
ADDRESSES = ("data.pets.images_url", "data.pets.annotations_url")  # where the archives are decides nothing

Leaves = dict[str, Any]  # params by their dotted names
Name = Annotated[str, Field(pattern=r"^[^|\n]+$")]  # it stands in a table


class Question(BaseModel):
    """What is asked: arms by name, each with the params that it changes; all are compared with the first.

    `claim` is the arm that the lab report finds best, if it says so.
    """

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    question: Name
    arms: Annotated[dict[Name, dict[str, Any]], Field(min_length=1)]
    claim: str | None = None
    networks: Annotated[list[str], Field(min_length=2)] | None = None  # compared within the only arm


class Plan(BaseModel):
    """A file of questions: each arm is run with each seed, from preset `base` with the params of `budget`."""

    model_config = ConfigDict(extra="forbid")
    base: str
    budget: dict[str, Any]
    seeds: Annotated[list[Annotated[int, Field(strict=True, ge=0, lt=2**32)]], Field(min_length=1)]
    questions: Annotated[list[Question], Field(min_length=1)]
    _presets: dict[Path, Leaves] = PrivateAttr(default_factory=dict)

    def preset(self, path: Path) -> Leaves:
        """Return the params of a preset, which is read once."""
        if path not in self._presets:
            self._presets[path] = flat(load_params(path).model_dump())
        return self._presets[path]


class Run(NamedTuple):
    """A training of all networks: its params, and the hash of those that decide its result."""

    key: str
    params: Leaves


def run_of(plan: Plan, arm: Mapping[str, Any], seed: int, given: Mapping[str, Any]) -> Run:
    """Return the run of an arm with a seed; `given` are params from the command line.

    Raises `InputError` for params that are unknown or have a bad value.
    """
    path = PRESETS / f"{arm.get(PRESET, plan.base)}.yaml"
    leaves = plan.preset(path)
    changes = {key: value for key, value in (plan.budget | dict(arm) | dict(given)).items() if key != PRESET}
    for key in changes:
        if key not in leaves:
            close = difflib.get_close_matches(key, leaves, n=1)
            hint = f"did you mean {close[0]}?" if close else "names are dotted, such as image.size"
            raise InputError(f"{key}: no such param ({hint})")
    try:
        params = check_params(nested(leaves | changes | {SEED: seed}), path)
    except InputError as error:  # the preset itself is good
        raise InputError(str(error).removeprefix(f"{path}: ")) from None
    leaves = flat(params.model_dump())  # 1e-4 and 0.0001 are one value
    deciding = {
        name: value
        for name, value in leaves.items()
        if name not in ADDRESSES and not name.startswith("machine.")
    }
    return Run(hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:12], leaves)


def targets_differ(plan: Plan, question: Question) -> bool:
    """Say whether arms differ in the true masks of their scores, which then cannot be compared."""
    return len({_target(run_of(plan, arm, plan.seeds[0], {}).params) for arm in question.arms.values()}) > 1


def _target(params: Leaves) -> tuple[frozenset[str], int | None]:
    """Return what is foreground, and the side in pixels of the true masks, None for that of each image."""
    side = params["image.size"] if params["evaluate.resolution"] == "network" else None
    return frozenset(params["data.foreground"]), side


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
    usual = run_of(plan, {}, run.params[SEED], {}).params
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
