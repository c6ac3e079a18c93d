import subprocess
import sys

import pytest

RAISES = """
import sys
from stages.segmentation.errors import Fault, InputError, run
sys.argv[0] = "/somewhere/train_unet.py"
def main():
    raise {error}
run(main)
"""


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        ("InputError('a\\nb')", 2, "train_unet: error: a b"),
        ("Fault('full')", 1, "train_unet: error: full"),
        ("OSError(28, 'Disk full', 'x.pt')", 1, "train_unet: error: x.pt: Disk full"),
        ("KeyboardInterrupt", 130, "train_unet: error: interrupted"),
    ],
)  # fmt: skip
def test_what_a_user_can_meet_is_one_line(error: str, status: int, line: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", RAISES.format(error=error)], capture_output=True, text=True
    )
    assert (finished.returncode, finished.stderr, finished.stdout) == (status, line + "\n", "")


def test_a_defect_keeps_its_traceback() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", RAISES.format(error="KeyError('x')")], capture_output=True, text=True
    )
    assert finished.returncode == 1 and "Traceback" in finished.stderr
