"""What git knows of the run."""

import subprocess
from pathlib import Path

from segmentation.params import PARAMS

LOCK = Path("dvc.lock")


def matches_commit() -> bool | None:
    """Say whether dvc.lock and params.yaml are as in the last commit; None where git does not know them."""
    if any(_git("cat-file", "-e", f"HEAD:./{path}") is None for path in (LOCK, PARAMS)):
        return None
    return _git("diff", "--quiet", "HEAD", "--", str(LOCK), str(PARAMS)) is not None


def commit() -> str:
    """Return the hash of the last commit, with a remark if files have changed since."""
    changed = _git("status", "--porcelain", "--untracked-files=no")
    remark = "    # with uncommitted changes" if changed else ""
    return f"{_git('rev-parse', '--verify', 'HEAD') or ''}{remark}"


def _git(*arguments: str) -> str | None:
    """Return what a git command prints, or None if it fails."""
    try:
        finished = subprocess.run(["git", *arguments], capture_output=True, text=True)
    except OSError:
        return None
    return finished.stdout.strip() if finished.returncode == 0 else None
