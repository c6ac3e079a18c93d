"""Params as properties: any YAML at any key validates, or gives one line that names the key."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_params import DEFAULTS, ROOT, leaves, written

from segmentation.common.errors import InputError
from segmentation.params import load_params

# Whatever YAML can hold: by value, as a dumper writes it, and as text that somebody typed.
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.dates(), st.datetimes()
)
KEYS = st.one_of(st.text(), st.integers(), st.none(), st.booleans(), st.floats(allow_nan=False))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)
LEAVES = sorted(leaves(DEFAULTS))
GROUPS = sorted({leaf.rpartition(".")[0] for leaf in LEAVES} | {"data"})
TYPED = [
    *("[", "{a: 1", "&a [*a]", "*a", "!!python/object:os.system {}", "!!set {a, b}", "!!binary aGk=", "|"),
    *("0x1F", "1:30", "0o17", "1_000", ".inf", "-.nan", "~", "on", "2026-99-99", "1e999999999", "1e308"),
    *("-0", "1.", "e1", "'", '"\\ud800"', "'\x1b[31m'", "<<: 1", "- a", "? a", "%", "@", "\ufeff1", "\0"),
    *("&a [&b [1,1], *b, *b]", "9" * 5000, "0x" + "f" * 5000, "[" * 500, "{a: " * 500),
]


def placed(values: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    """A copy of nested `values` in which `key`, dotted, holds `value`."""
    first, _, rest = key.partition(".")
    return {**values, first: placed(values[first], rest, value) if rest else value}


def assert_valid_or_named(path: Path, key: str) -> None:
    try:
        load_params(path)
    except InputError as error:
        message = str(error)
        assert "\n" not in message and len(message) < 2000
        assert key in message or "not readable as YAML" in message, message


@pytest.mark.fault("params: any YAML at any key")
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.sampled_from(LEAVES + GROUPS), value=VALUES)
def test_any_value_at_any_key(tmp_path: Path, key: str, value: object) -> None:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(placed(DEFAULTS, key, value)), "utf-8")
    assert_valid_or_named(tmp_path / "params.yaml", key)


@pytest.mark.fault("params: any YAML at any key")
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.sampled_from(LEAVES), text=st.sampled_from(TYPED) | st.text(max_size=30))
def test_any_text_at_any_key(tmp_path: Path, key: str, text: str) -> None:
    """As typed: the text may end the value, begin another key, or be no YAML at all."""
    path = written(tmp_path, key, "PLACE")
    path.write_text(path.read_text().replace("PLACE", text), "utf-8", "surrogatepass")
    assert_valid_or_named(path, "")


@pytest.mark.fault("params: any YAML at any key")
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(group=st.sampled_from(GROUPS), key=KEYS, value=VALUES)
def test_any_key_in_any_group(tmp_path: Path, group: str, key: object, value: object) -> None:
    holder = DEFAULTS
    for name in group.split("."):
        holder = holder[name]
    changed = placed(DEFAULTS, group, {**holder, key: value})
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(changed), "utf-8")
    assert_valid_or_named(tmp_path / "params.yaml", group)


@pytest.mark.fault("params: any YAML at any key")
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_any_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "params.yaml").write_bytes(data)
    with pytest.raises(InputError) as caught:
        load_params(tmp_path / "params.yaml")
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


@pytest.mark.fault("params: any YAML at any key")
def test_a_bomb_of_aliases(tmp_path: Path) -> None:
    """Nine levels of nine: a billion words once it is printed."""
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    path = written(tmp_path, "train.lr", "PLACE")
    path.write_text("\n".join(lines) + "\n" + path.read_text().replace("PLACE", "*a9"))
    with pytest.raises(InputError, match=r"train\.lr = "):
        load_params(path)


@pytest.mark.parametrize(
    "value", ["1e-4", "1E-4", "0.0001", "1.0e-4", ".0001", "+1e-4", "1e-04", "'1e-4'", "0.1e-3"]
)
def test_every_spelling_on_the_command_line(tmp_path: Path, value: str) -> None:
    """Through what `dvc exp run -S` itself does with an override."""
    path = tmp_path / "params.yaml"
    path.write_bytes((ROOT / "params.yaml").read_bytes())
    apply_overrides(path, [f"train.lr={value}"])
    assert load_params(path).train.lr == 1e-4


@given(value=st.floats(1e-12, 10))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_number_on_the_command_line(tmp_path: Path, value: float) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes((ROOT / "params.yaml").read_bytes())
    apply_overrides(path, [f"train.lr={value!r}"])
    assert load_params(path).train.lr == value
