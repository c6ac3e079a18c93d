"""params.py is no dependency of any stage: it may refuse a value, but never change one."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from segmentation.params import Group, Params, load_params

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "params.yaml", *sorted((ROOT / "presets").glob("*.yaml"))]


def groups(group: type[Group] = Params) -> list[type[Group]]:
    inner = [field.annotation for field in group.model_fields.values()]
    found = [each for each in inner if isinstance(each, type) and issubclass(each, Group)]
    return [group, *(deeper for each in found for deeper in groups(each))]


def leaves(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def test_no_field_has_a_default() -> None:
    for group in groups():
        assert [name for name, field in group.model_fields.items() if not field.is_required()] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_in_the_file_is_what_the_stages_get(path: Path) -> None:
    written = leaves(yaml.safe_load(path.read_text()))
    read = leaves(load_params(path).model_dump())
    assert read == written
    assert all(type(read[key]) in (type(value), float) for key, value in written.items())


# Texts, as YAML 1.1 and `dvc exp run -S` write numbers, and the numbers that they stand for.
TEXTS = {"1e-4": 0.0001, "1E-05": 1e-05, "+.5": 0.5, "3": 3.0, "2e0": 2.0}


def test_a_text_becomes_its_number_wherever_a_number_is_expected(tmp_path: Path) -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    numbers = {
        key: value
        for key, value in leaves(values).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    assert len(numbers) > 15
    path, taken = tmp_path / "params.yaml", 0
    for key in numbers:
        for text, number in TEXTS.items():
            params = yaml.safe_load((ROOT / "params.yaml").read_text())
            *above, leaf = key.split(".")
            group = params
            for name in above:
                group = group[name]
            group[leaf] = text
            path.write_text(yaml.safe_dump(params))
            try:
                read = leaves(load_params(path).model_dump())
            except Exception as error:
                assert key in str(error)  # refused, where it is out of range
                continue
            taken += 1
            assert read.pop(key) == number
            assert read == {name: value for name, value in leaves(values).items() if name != key}
    assert taken > 20
