"""How many processor cores there are to use."""

import os


def usable_cores() -> int:
    """Return the number of cores, at least 1."""
    return os.cpu_count() or 1
