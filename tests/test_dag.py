"""dvc.yaml says the truth: every import is a dependency, every param that a stage uses is declared."""

import ast
import hashlib
import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import make_project, set_params

from segmentation import params
from segmentation.common.errors import InputError

ROOT = Path(__file__).parents[1]
STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def module_file(name: str) -> Path | None:
    """The file of a module of this repository; None for any other, and for the empty `__init__.py`."""
    path = ROOT / (name.replace(".", "/") + ".py")
    return path if path.is_file() else None


def imported_modules(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it: functions count too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def closure(path: Path) -> set[Path]:
    found, waiting = set(), {path}
    while waiting:
        current = waiting.pop()
        found.add(current)
        waiting |= {file for name in imported_modules(current) if (file := module_file(name))} - found
    return found


def test_init_files_are_empty() -> None:
    assert [path for path in ROOT.glob("s*/**/__init__.py") if path.read_text()] == []


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_the_import_closure(stage: str) -> None:
    declared = {dep for dep in STAGES[stage]["deps"] if dep.startswith(("stages/", "segmentation/"))}
    imported = {str(path.relative_to(ROOT)) for path in closure(ROOT / "stages" / f"{stage}.py")}
    assert declared == imported


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
    if stage == "download":  # each source uses params of its own; what is not there is refused after that
        for source in ("oxford-iiit-pet", "folder"):
            set_params(tiny, data__source=source, data__pets__images_url="file:///nowhere.tar.gz")
            with pytest.raises(InputError):
                main()
        set_params(tiny, data__source="sample")
    main()
    # What depends on the machine changes no output (test_stages.py), so nothing has to run again for it.
    assert {name for name in used if not name.startswith("machine.")} == set(STAGES[stage].get("params", []))


def test_the_committed_lock_fits_the_code() -> None:
    """`dvc metrics diff` compares with the committed metrics: they must be those of this code."""
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]
    assert set(lock) == set(STAGES)
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    stale = []
    for stage, locked in lock.items():
        recorded = {dep["path"]: dep["md5"] for dep in locked["deps"]}
        for dep in STAGES[stage]["deps"]:
            if dep.startswith(("stages/", "segmentation/")):
                stale += [f"{stage}: {dep}"] * (recorded.get(dep) != md5(ROOT / dep))
        for name in STAGES[stage].get("params", []):
            value = values
            for key in name.split("."):
                value = value[key]
            stale += [f"{stage}: {name}"] * (locked["params"]["params.yaml"].get(name, "absent") != value)
        for out in locked["outs"]:
            if out["path"].startswith("metrics/") and (ROOT / out["path"]).is_file():
                stale += [f"{stage}: {out['path']}"] * (out["md5"] != md5(ROOT / out["path"]))
    assert stale == [], "run `dvc repro` and commit dvc.lock and metrics/"


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()
