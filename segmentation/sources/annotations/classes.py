"""Which classes are foreground: `data.folder.classes`."""

import difflib
from collections.abc import Mapping, Sequence

from segmentation.common.errors import InputError

SHOWN = 20  # classes in a line
KEY = "data.folder.classes"


def refuse_unknown(classes: Sequence[str], counts: Mapping[str, int], what: str) -> None:
    """Raise `InputError` for one of the `classes` that is not among the `counts`, or labels nothing by them.

    `what` is counted, such as masks.
    """
    there = f"{what} by class: {listed(counts)}"
    for name in classes:
        if name not in counts:
            close = difflib.get_close_matches(name, counts, 1)
            hint = f", did you mean {close[0]!r}?" if close else ""
            raise InputError(f"{KEY}: no class {name!r}{hint}; {there}")
        if counts[name] == 0:
            raise InputError(f"{KEY}: the class {name!r} labels nothing; {there}")


def listed(counts: Mapping[str, int]) -> str:
    """Return the first of the classes with their counts."""
    names = [f"{name} ({count})" for name, count in counts.items()]
    more = f" and {len(names) - SHOWN} more" * (len(names) > SHOWN)
    return f"{', '.join(names[:SHOWN]) or 'none'}{more}"
