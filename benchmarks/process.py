"""Measurements in processes of their own, so that none profits from another's memory."""

import json
import sys
from subprocess import PIPE, run
from typing import Any


def in_a_process(module: str, *arguments: str) -> Any:
    """Run `python -m MODULE ARGUMENTS` and return the JSON that it prints; end this program if it fails."""
    ended = run([sys.executable, "-m", module, *arguments], stdout=PIPE, text=True)
    if ended.returncode:
        sys.exit(f"python -m {module} {' '.join(arguments)}: failed, see above")
    return json.loads(ended.stdout)
