"""dvc.yaml says the truth: every import is a dependency, every param that a stage uses is declared."""

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

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
    assert [path for path in ROOT.glob("stages/**/__init__.py") if path.read_text()] == []


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_the_import_closure(stage: str) -> None:
    declared = {dep for dep in STAGES[stage]["deps"] if dep.startswith("stages/")}
    imported = {str(path.relative_to(ROOT)) for path in closure(ROOT / "stages" / f"{stage}.py")}
    assert declared == imported
