"""Questions: which trainings they need, and which pairs of them are compared."""

import hashlib
import json
from collections.abc import Mapping
from functools import cache, reduce
from operator import getitem
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field

from segmentation.common.errors import InputError
from segmentation.common.leaves import Leaves, flat
from segmentation.params import Params, check_params, load_params

PRESETS = Path("presets")
PRESET = "preset"  # in an arm: the preset that it starts from instead of the file's
PIPELINE = Path("dvc.yaml")
CODE = ("segmentation", "stages", "requirements")  # how paths of code begin
SEED = "train.seed"
ADDRESSES = ("data.pets.images_url", "data.pets.annotations_url")  # where the archives are
INDIFFERENT = (*ADDRESSES, "machine.")  # how params begin that decide no result

Name = Annotated[str, Field(pattern=r"^[^|\n]+$")]  # it is shown in a table


@cache  # all runs start from a few presets
def _load_once(path: Path, _folder: Path) -> Params:
    return load_params(path)


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
    """A file of questions: each arm is run with each seed, from preset `base` with the params of `budget`.

    With `split_by_seed`, each seed draws other test and validation images too, of a folder without lists.
    """

    model_config = ConfigDict(extra="forbid")
    base: str
    budget: dict[str, Any]
    seeds: Annotated[list[Annotated[int, Field(strict=True, ge=0, lt=2**32)]], Field(min_length=1)]
    questions: Annotated[list[Question], Field(min_length=1)]
    split_by_seed: bool = False


class Run(NamedTuple):
    """A training of all networks: its params, and the hash of those that decide its result."""

    key: str
    params: Leaves

    def trains(self, network: str) -> bool:
        """Whether `networks` does not leave this one out."""
        return bool(self.params.get(f"networks.{network}", True))


def run_of(plan: Plan, arm: Mapping[str, Any], seed: int) -> Run:
    """Return the run of an arm with a seed; raises `InputError` for unknown params and bad values.

    A number of epochs that budget or arm name is meant: it rules over the preset's `train.min_steps`.
    """
    path = PRESETS / f"{arm.get(PRESET, plan.base)}.yaml"
    params = _load_once(path, Path.cwd()).model_dump()
    known = flat(params)
    given = {**plan.budget, **arm, SEED: seed}
    if "train.epochs" in given:
        given.setdefault("train.min_steps", 0)
    if plan.split_by_seed:
        given["data.seed"] = seed
    for name, value in given.items():
        if name == PRESET:
            continue
        if name not in known:
            raise InputError(f"{name}: no such param; names are dotted, such as image.size")
        *groups, leaf = name.split(".")
        reduce(getitem, groups, params)[leaf] = value
    try:
        leaves = flat(check_params(params, path).model_dump())  # 1e-4 and 0.0001 are one value
    except InputError as error:  # the preset itself is good
        raise InputError(str(error).removeprefix(f"{path}: ")) from None
    deciding = {name: value for name, value in leaves.items() if not name.startswith(INDIFFERENT)}
    return Run(hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:12], leaves)


def targets_differ(plan: Plan, question: Question) -> bool:
    """Say whether arms differ in the true masks of their scores, which then cannot be compared.

    That is, in what is foreground, or in the size of the masks; None: that of each image.
    """
    targets = set()
    for arm in question.arms.values():
        params = run_of(plan, arm, plan.seeds[0]).params
        size = tuple(params[f"image.{key}"] for key in ("size", "fit", "scale"))
        size_of_scores = size if params["evaluate.resolution"] == "network" else None
        targets.add((frozenset(params["data.foreground"]), size_of_scores))
    return len(targets) > 1


def runs(plan: Plan) -> list[Run]:
    """Return all runs that the questions need, each once; whole seeds come first, so that all arms grow."""
    arms = [arm for question in plan.questions for arm in question.arms.values()]
    needed = [run_of(plan, arm, seed) for seed in plan.seeds for arm in arms]
    return list({run.key: run for run in needed}.values())


def changes(plan: Plan, run: Run) -> str:
    """Name what a run changes of the file's preset and budget."""
    usual = run_of(plan, {}, run.params[SEED]).params
    return ", ".join(
        f"{name}={value}"
        for name, value in run.params.items()
        if usual[name] != value and not name.startswith(INDIFFERENT)
    )


def code_hash() -> str:
    """Return the hash of all code that a stage depends on by dvc.yaml."""
    stages = yaml.safe_load(PIPELINE.read_text(encoding="utf-8"))["stages"].values()
    digest = hashlib.sha256()
    for dep in sorted({dep for stage in stages for dep in stage["deps"] if dep.startswith(CODE)}):
        path = Path(dep)
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:  # as DVC (.dvcignore)
            digest.update(f"{file}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]
