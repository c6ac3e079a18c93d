"""The content of files: its digest, and damage to it."""

import hashlib
from collections.abc import Iterable
from pathlib import Path


def digest(path: Path, algorithm: str = "sha256") -> str:
    return hashlib.new(algorithm, path.read_bytes()).hexdigest()


def digests(folder: Path, names: Iterable[str] | None = None) -> dict[str, str]:
    """The digests of files of a folder by name; of all files in it without `names`."""
    found = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]
    return {name: digest(folder / name) for name in (found if names is None else names)}


def flipped(data: bytes, position: int | None = None, bit: int = 0) -> bytes:
    """A copy of `data` with one wrong bit, by default in the middle."""
    changed = bytearray(data)
    changed[len(data) // 2 if position is None else position] ^= 1 << bit
    return bytes(changed)
