"""What an unpickler must not do."""

import os
from pathlib import Path


class Hostile:
    """Makes a folder at `path` when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)
