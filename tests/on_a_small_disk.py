"""Run a command while one folder lies on a disk of its own, with little room; say what became of it.

Arguments: FOLDER ROOM COMMAND... To be started under `unshare -rm`, so that nobody else sees the disk.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from content import digests

PAGE = 4096
SCRIPT = Path(__file__)
# Arguments: FOLDER COMMAND... Under `unshare -rm`, the command sees a folder that it cannot write.
READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'


def mounts_work() -> bool:
    """Whether this user may mount file systems of their own, in a namespace that ends with the process."""
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(command, capture_output=True).returncode == 0


def main() -> None:
    folder, room, command = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    with tempfile.TemporaryDirectory() as name:
        content = Path(shutil.copytree(folder, Path(name) / "content"))
        files = [path.stat().st_size for path in content.rglob("*") if path.is_file()]
        size = (max(1, sum(-(-each // PAGE) for each in files)) + room // PAGE) * PAGE
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=True)
        shutil.copytree(content, folder, dirs_exist_ok=True)
        if not files:
            (folder / "filler").write_bytes(b"x" * PAGE)
    before = digests(folder)
    finished = subprocess.run(command, capture_output=True, text=True)
    status, stderr = finished.returncode, finished.stderr
    print(json.dumps({"status": status, "stderr": stderr, "before": before, "after": digests(folder)}))


if __name__ == "__main__":
    main()
