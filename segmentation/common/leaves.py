"""Nested settings by their dotted names, such as `train.lr`, and what differs between two sets of them."""

from collections.abc import Mapping
from typing import Any

DIFFERENCES = 4  # in a message

Leaves = dict[str, Any]  # values by their dotted names


def flat(groups: Mapping[str, Any], prefix: str = "") -> Leaves:
    """Return the leaves of nested groups."""
    leaves: Leaves = {}
    for key, value in groups.items():
        name = f"{prefix}{key}"
        leaves |= flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return leaves


def differences(theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> str:
    """Name the first leaves that differ: `train.lr 0.1 -> 0.2`, or only the name of a long value."""
    old, new = flat(theirs), flat(mine)
    texts = []
    for name in new | old:
        change = f"{old.get(name)} -> {new.get(name)}"
        if old.get(name) != new.get(name):
            texts.append(f"{name} {change}" if len(change) < 64 else f"another {name}")
    more = f" and {len(texts) - DIFFERENCES} more" if len(texts) > DIFFERENCES else ""
    return ", ".join(texts[:DIFFERENCES]) + more
