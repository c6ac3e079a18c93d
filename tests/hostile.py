"""Files that a program must not trust."""

import os
import struct
import zlib
from pathlib import Path


class Hostile:
    """Makes a folder at `path` when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def pixel_bomb() -> bytes:
    """A PNG of a few bytes that claims 40,000 x 40,000 pixels."""
    return _png(40_000, (b"IDAT", zlib.compress(bytes(1000))))


def text_bomb() -> bytes:
    """A PNG of 16 x 16 pixels with a comment that unpacks to 100 MB."""
    comment = (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100_000_000), 1))
    return _png(16, comment, (b"IDAT", zlib.compress((b"\0" + bytes(48)) * 16)))


def _png(side: int, *chunks: tuple[bytes, bytes]) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), *chunks, (b"IEND", b""))
    parts = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
