"""dvc.yaml says the truth: every import lies in a declared folder, and each of those is imported whole."""

import ast
import copy
import importlib
import json
import re
from collections.abc import Iterator, Mapping
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import CHECK, dvc
from dvc.stage.cache import _get_cache_hash
from own_folder import own_folder
from projects import make_project, set_params

from segmentation import params
from segmentation.common import dataset_layout as layout
from segmentation.common.artifacts import RAW
from segmentation.common.errors import InputError

ROOT = Path(__file__).parents[1]
STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
CODE = ("stages/", "segmentation/")

# A change in common reruns everything, so it stays small and settled; no stage needs all of it.
NOT_IMPORTED_WHOLE = "segmentation/common/"
# It can refuse a value but never change one; its own tests hold it to that.
NO_DEPENDENCY = "segmentation/params.py"

# From the bottom to the top: a file imports from folders below its own, or from its own.
LEVELS = [
    {"common"},
    {"params"},
    {"sources", "splitting", "pixel_stats", "runtime", "workspace"},
    {"layers", "loading", "scoring"},
    {"networks"},
    {"models"},
    {"inference"},
    {"training", "evaluation"},
    {"prediction", "planning"},
    {"export", "serving"},
    {"experiments"},
    {"report"},
    {"petseg", "going_back"},
]


def module_file(name: str) -> str | None:
    """The file of a module of this repository; None for any other, and for `__init__.py`."""
    path = name.replace(".", "/") + ".py"
    return path if path.startswith(CODE) and (ROOT / path).is_file() else None


def imports(path: str) -> set[str]:
    """The files of this repository that a file imports, anywhere in it: functions count too."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {file for name in names if (file := module_file(name))}


def python_files(place: str) -> set[str]:
    """The Python files of a folder or file, without `__init__.py`."""
    path = ROOT / place
    found = path.rglob("*.py") if path.is_dir() else [path]
    return {str(file.relative_to(ROOT)) for file in found if file.name != "__init__.py"}


def networks_of(stage: str) -> set[str]:
    """The networks that `models/build.py` finds by their names, the one import that is not written out."""
    name = stage.removeprefix("train_")
    return python_files(
        "segmentation/networks" if stage == "evaluate" else f"segmentation/networks/{name}.py"
    )


def closure(stage: str) -> set[str]:
    """All files of this repository that a stage imports, itself included."""
    found: set[str] = set()
    waiting = {f"stages/{stage}.py"}
    while waiting:
        path = waiting.pop()
        found.add(path)
        new = imports(path) | (networks_of(stage) if path == "segmentation/models/build.py" else set())
        waiting |= new - found
    return found


def declared_files(stage: str) -> set[str]:
    return {file for dep in STAGES[stage]["deps"] if dep.startswith(CODE) for file in python_files(dep)}


def test_init_files_change_no_result() -> None:
    """No stage depends on them, so they are empty, but for what Ctrl-C does while a command starts."""
    written = {str(path.relative_to(ROOT)) for path in ROOT.glob("[st]*/**/__init__.py") if path.read_text()}
    assert written == {"stages/__init__.py", "tools/__init__.py"}
    for path in written:
        source = (ROOT / path).read_text()
        assert re.findall(r"^(?:import|from) .*", source, re.M) == ["import signal", "import sys"]


@pytest.mark.parametrize("stage", STAGES)
def test_every_import_of_a_stage_lies_in_a_declared_folder(stage: str) -> None:
    assert closure(stage) - declared_files(stage) - {NO_DEPENDENCY} == set()


@pytest.mark.parametrize("stage", STAGES)
def test_every_file_of_a_declared_folder_is_imported(stage: str) -> None:
    unused = declared_files(stage) - closure(stage)
    assert {file for file in unused if not file.startswith(NOT_IMPORTED_WHOLE)} == set()
    assert NO_DEPENDENCY not in declared_files(stage)


def test_imports_point_downwards() -> None:
    level = {folder: number for number, folders in enumerate(LEVELS) for folder in folders}

    def folder(path: str) -> str:
        return path.split("/")[1].removesuffix(".py")

    upwards = [
        f"{path} imports {imported}"
        for path in sorted(python_files("segmentation"))
        for imported in imports(path)
        if folder(path) != folder(imported) and level[folder(path)] <= level[folder(imported)]
    ]
    assert upwards == []
    doors = [f"{path}: {each}" for path in python_files("segmentation") for each in imports(path)]
    assert [each for each in doors if ": stages/" in each] == []


def test_nothing_that_trains_imports_dvc() -> None:
    """Training must run where DVC is not installed."""
    files = python_files("segmentation") | python_files("stages")
    pattern = re.compile(r"^\s*(import|from) dvc\b", re.M)
    assert [path for path in files if pattern.search((ROOT / path).read_text())] == []


def leaves(group: type[params.Group] = params.Params, prefix: str = "") -> dict[tuple[type, str], str]:
    """The dotted name of every leaf of params.yaml, by its group and field."""
    found: dict[tuple[type, str], str] = {}
    for name, field in group.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, params.Group):
            found |= leaves(field.annotation, f"{prefix}{name}.")
        else:
            found[group, name] = prefix + name
    return found


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Collects the leaves of params.yaml that are read from here on."""
    names, found = leaves(), set()
    read, dump = params.Group.__getattribute__, params.Group.model_dump

    def spy(group: params.Group, name: str) -> Any:
        found.update({names[type(group), name]} if (type(group), name) in names else set())
        return read(group, name)

    def spy_dump(group: params.Group) -> dict[str, Any]:
        found.update(name for (owner, _), name in names.items() if owner is type(group))
        return dump(group)

    monkeypatch.setattr(params.Group, "__getattribute__", spy)
    monkeypatch.setattr(params.Group, "model_dump", spy_dump)
    return found


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny project, through which the stages go in order."""
    return make_project(tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize("stage", STAGES)
def test_declared_params_are_those_that_the_stage_uses(
    stage: str, tiny: Path, used: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny)
    main = importlib.import_module(f"stages.{stage}").main
    if stage == "download":  # each source uses params of its own
        set_params(tiny, data__source="oxford-iiit-pet", data__pets__images_url="file:///nowhere.tar.gz")
        with pytest.raises(InputError):
            main()
        set_params(tiny, data__source="folder", data__folder__path=str(own_folder(tiny / "own")))
        main()
        set_params(tiny, data__source="sample")
    if stage == "split":  # without lists, it draws lots
        lists = [layout.TRAINVAL, layout.TEST]
        for each in lists:
            (RAW / each).rename(each.name)
        main()
        for each in lists:
            Path(each.name).rename(RAW / each)
    main()
    declared = STAGES[stage].get("params", [])
    expanded = {
        leaf for leaf in leaves().values() for name in declared if leaf == name or leaf.startswith(f"{name}.")
    }
    if stage == CHECK:
        assert expanded == set(leaves().values())
        return
    # What depends on the machine changes no output, so nothing has to rerun for it.
    assert {name for name in used if not name.startswith("machine.")} == expanded


@pytest.mark.parametrize("stage", STAGES)
def test_every_param_of_a_stage_decides_what_the_run_cache_returns(stage: str) -> None:
    """DVC ignores keys `size` and `nfiles` in groups, so a run of another `image.size` was returned."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    declared = {name: reduce(getitem, name.split("."), values) for name in STAGES[stage].get("params", [])}
    locked = {"cmd": STAGES[stage]["cmd"], "params": {"params.yaml": declared}}
    before = _get_cache_hash(copy.deepcopy(locked), key=True)
    for path in paths_of(locked["params"]):
        changed = copy.deepcopy(locked)
        group: dict[str, Any] = changed["params"]
        for key in path[:-1]:
            group = group[key]
        group[path[-1]] = "another value"
        assert _get_cache_hash(changed, key=True) != before, path


def paths_of(groups: Mapping[str, Any], prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The keys that lead to each leaf."""
    for key, value in groups.items():
        if isinstance(value, Mapping):
            yield from paths_of(value, (*prefix, key))
        else:
            yield (*prefix, key)


def test_the_committed_lock_fits_the_code() -> None:
    """`dvc metrics diff` compares with the committed metrics: they must be those of this code."""
    assert set(yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]) == set(STAGES)
    stale = []
    for stage, changes in json.loads(dvc(ROOT, "status", "--json")).items():
        for change in changes:
            if not isinstance(change, dict):
                continue
            for path, what in (change.get("changed deps", {}) | change.get("changed outs", {})).items():
                tracked = path.startswith(CODE) or path == "params.yaml" or path.startswith("metrics/")
                if tracked and what not in ("deleted", "not in cache"):
                    stale.append(f"{stage}: {path}: {what}")
    assert stale == [], "run `dvc repro` and commit dvc.lock and metrics/"
