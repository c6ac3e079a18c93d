"""The files that a section of docs/extending.md tells people to write."""

import re
from pathlib import Path
from typing import Any

import yaml

PAGE = Path(__file__).parents[1] / "docs/extending.md"


def recipe(heading: str) -> list[tuple[str, str]]:
    """The files of the section `heading`, in order: each path, and what it gets."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.M | re.S)
    return re.findall(r"`([\w/]+\.(?:py|yaml))`[^`]*?\n+```\w+\n(.*?)```", section, re.S)


def follow(files: list[tuple[str, str]], project: Path) -> None:
    """Write the files into a project; merge what is for an existing YAML file into it."""
    for path, content in files:
        target = project / path
        if path.endswith(".py"):
            assert not target.exists()
            target.write_text(content)
        else:
            pipeline = _merged(yaml.safe_load(target.read_text()), yaml.safe_load(content))
            target.write_text(yaml.safe_dump(pipeline, sort_keys=False))


def _merged(old: Any, new: Any) -> Any:
    """`old` with `new` put in: mappings by key, lists at their end, entries of one key by that key."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {key: _merged(old[key], value) if key in old else value for key, value in new.items()}
    if isinstance(old, list) and isinstance(new, list):
        result = list(old)
        for item in new:
            same = [each for each in result if isinstance(each, dict) and isinstance(item, dict)]
            same = [each for each in same if each.keys() == item.keys()]
            if same:
                result[result.index(same[0])] = _merged(same[0], item)
            elif item not in result:
                result.append(item)
        return result
    return new
