"""Everything that determines the result of a training: it is resumed only if all of it is the same."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from segmentation.common.artifacts import RAW
from segmentation.common.errors import InputError
from segmentation.common.files import visible_files
from segmentation.common.leaves import differences
from segmentation.inference.predictor import Runner
from segmentation.params import Params, read_params
from segmentation.runtime.distributed import all_gather, world_size
from segmentation.training.outputs import used_params
from segmentation.training.warm_start import WarmStart

PIPELINE = Path("dvc.yaml")
CODE = "segmentation"
CORE = Path("requirements-core.txt")

Fingerprint = Mapping[str, Any]  # by name: what JSON can hold


def fingerprint(stage: str, params: Params, runner: Runner, warm_start: WarmStart | None) -> Fingerprint:
    """Return the params that a training uses, properties of machine and libraries, and hashes of files.

    The files are those that `stage` declares in dvc.yaml, except for the images: the hash in data/split.json
    covers them. Raises `InputError` if dvc.yaml does not declare the stage, or a file does not exist.
    """
    machine = {
        "device": runner.device.type,
        "precision": runner.precision,
        "processes": world_size(),
        "start": warm_start.sha256 if warm_start else None,
    }
    hashes = {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in declared_files(stage)}
    return used_params(params) | machine | hashes | dict(installed())


def installed() -> Iterator[tuple[str, str | None]]:
    """Yield the libraries that make pixels and numbers, with the versions that are really installed."""
    for name in re.findall(r"^([\w-]+)==", CORE.read_text(encoding="utf-8"), re.M):
        try:
            yield name, version(name)
        except PackageNotFoundError:  # under another name, as opencv-python
            yield name, None


def require_same(mine: Fingerprint) -> None:
    """Raise `InputError` unless all processes that train together have the same fingerprint."""
    first, *others = all_gather(mine)
    for rank, other in enumerate(others, 1):
        if changes := differences(first, other):
            raise InputError(f"process {rank} differs from process 0: {changes}")


def declared_files(stage: str) -> Iterator[Path]:
    """Yield the files that a stage depends on by dvc.yaml, in order, without those in data/raw.

    As for DVC (.dvcignore), a folder of code is its `*.py`, and hidden files do not count.
    """
    try:
        paths = sorted(map(Path, read_params(PIPELINE)["stages"][stage]["deps"]))
    except (KeyError, TypeError) as error:
        raise InputError(f"{PIPELINE}: declares no stage {stage} with deps ({error!r})") from None
    for path in paths:
        if path == RAW:
            continue
        if not path.exists():
            raise InputError(f"{path}: no such file, but {stage} depends on it in {PIPELINE}")
        files = visible_files(path) if path.is_dir() else [path]
        yield from (file for file in files if file.suffix == ".py" or path.parts[0] != CODE)
