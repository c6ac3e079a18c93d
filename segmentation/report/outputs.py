"""What the stages have left, and what git knows of it."""

from contextlib import suppress
from typing import Any, NamedTuple

from segmentation.common import artifacts
from segmentation.common.artifacts import Split
from segmentation.common.errors import Fault, InputError
from segmentation.common.files import missing, read_json
from segmentation.common.tables import read_csv
from segmentation.models.build import network_names
from segmentation.params import PARAMS
from segmentation.workspace import call

Table = list[dict[str, str]]


class RunOutputs(NamedTuple):
    """The outputs of a run; tables and summaries by network."""

    names: list[str]
    test: dict[str, Any]
    details: dict[str, Any]
    images: Table
    curves: dict[str, Table]
    training: dict[str, dict[str, Any]]
    thresholds: dict[str, Table]
    reliability: dict[str, Table]
    split: Split
    gallery: dict[str, bytes]  # by name; `overlays.gallery_files` says what they are


def read_outputs() -> RunOutputs:
    """Read all from where the stages write it; raises `InputError` if something is missing or damaged."""
    test = read_json(artifacts.TEST_METRICS, "evaluate", dict)
    names = [name for name in network_names() if name in test]
    if not names:
        raise InputError(f"{artifacts.TEST_METRICS}: holds no network of this program; run `dvc repro`")
    gallery = {path.name: path.read_bytes() for path in sorted(artifacts.GALLERY.glob("*"))}
    if not gallery:
        raise missing(artifacts.GALLERY, "evaluate", "images")
    summary = artifacts.training_summary_path
    return RunOutputs(
        names=names,
        test=test,
        details=read_json(artifacts.DETAILS, "evaluate", dict),
        images=read_csv(artifacts.PER_IMAGE, "evaluate"),
        curves={name: read_csv(artifacts.curve_path(name), f"train_{name}") for name in names},
        training={name: read_json(summary(name), f"train_{name}", dict) for name in names},
        thresholds={name: read_csv(artifacts.THRESHOLD_CURVES / f"{name}.csv", "evaluate") for name in names},
        reliability={name: read_csv(artifacts.RELIABILITY / f"{name}.csv", "evaluate") for name in names},
        split=read_json(artifacts.SPLIT, "split", Split),
        gallery=gallery,
    )


def matches_commit() -> bool | None:
    """Say whether dvc.lock and params.yaml are as in the last commit; None where git does not know them."""
    if any(_git("cat-file", "-e", f"HEAD:./{path}") is None for path in ("dvc.lock", PARAMS)):
        return None
    return _git("diff", "--quiet", "HEAD", "--", "dvc.lock", str(PARAMS)) is not None


def commit() -> str:
    """Return the hash of the last commit, with a remark if files have changed since."""
    changed = _git("status", "--porcelain", "--untracked-files=no")
    remark = "    # with uncommitted changes" if changed else ""
    return f"{_git('rev-parse', '--verify', 'HEAD') or ''}{remark}"


def _git(*arguments: str) -> str | None:
    """Return what a git command prints, or None if it fails."""
    with suppress(Fault, OSError):
        return call("git", *arguments).strip()
    return None
