import os
import pty
import re
import subprocess
import sys
import termios
import time

import pytest

from segmentation.common import progress as module
from segmentation.common.progress import progress

COUNTING = """
from segmentation.common.progress import progress
for _ in progress(range(3), "counting", 3, mininterval=0): pass
"""


def test_a_log_gets_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINE_EVERY_S", 0.1)
    started = time.monotonic()
    for _ in progress(range(60), "counting", 60):
        time.sleep(0.01)
    lines = capsys.readouterr().err.splitlines()
    assert 3 <= len(lines) <= (time.monotonic() - started) / 0.1
    assert all(re.fullmatch(r"counting: \d+ of 60, 00:0\d left", line) for line in lines)


def test_short_work_leaves_no_line_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress(range(9), "counting", 9)) == list(range(9))
    assert capsys.readouterr().err == ""


def test_work_goes_on_where_standard_error_is_closed() -> None:
    assert subprocess.run(["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, COUNTING]).returncode == 0


def test_a_terminal_gets_a_bar_that_goes_away() -> None:
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 80))
    subprocess.run([sys.executable, "-c", COUNTING], stderr=end, check=True, timeout=60)
    drawn = os.read(terminal, 10_000).decode()
    os.close(end)
    os.close(terminal)
    assert "counting:  67%|" in drawn and "\n" not in drawn.rstrip()
    assert drawn.split("\r")[-2].strip() == ""  # wiped
