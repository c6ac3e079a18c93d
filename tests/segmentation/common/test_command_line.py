import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RAISES = """
import sys
from segmentation.common.command_line import make_parser, run
from segmentation.common.errors import Fault, InputError
from segmentation.common.signals import Interrupted
sys.argv[0] = "/somewhere/train_unet.py"
def main():
    raise {error}
run(main, make_parser("A stage."))
"""


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        ("InputError('a\\nb')", 2, "train_unet: error: a b"),
        ("Fault('full')", 1, "train_unet: error: full"),
        ("OSError(28, 'Disk full', 'x.pt')", 1, "train_unet: error: x.pt: Disk full"),
        ("Interrupted(2)", 130, "train_unet: stopped by SIGINT; run it again"),
        ("Interrupted(15, ' in epoch 2')", 143, "train_unet: stopped by SIGTERM in epoch 2"),
    ],
)  # fmt: skip
def test_an_error_of_the_user_or_the_machine_is_one_line(error: str, status: int, line: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", RAISES.format(error=error)], capture_output=True, text=True
    )
    assert (finished.returncode, finished.stderr, finished.stdout) == (status, line + "\n", "")


def test_a_defect_keeps_its_traceback() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", RAISES.format(error="KeyError('x')")], capture_output=True, text=True
    )
    assert finished.returncode == 1 and "Traceback" in finished.stderr


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("does", "status"),
    [("raise Fault('full')", 1), ("raise Interrupted(15)", 143), ("raise BrokenPipeError", 141), ("pass", 0)],
)
def test_a_signal_while_python_ends_changes_nothing(does: str, status: int, signum: int) -> None:
    late = f"import atexit, os; atexit.register(os.kill, os.getpid(), {int(signum)})\n"
    command = [sys.executable, "-c", late + RAISES.replace("raise {error}", does)]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == status
    assert len(finished.stderr.splitlines()) == (status in (1, 143))  # a closed pipe ends it quietly


@pytest.mark.slow
@pytest.mark.fault("SIGINT or SIGTERM while a stage imports or reads")
@pytest.mark.parametrize(
    ("stage", "signum"),
    [
        ("download", signal.SIGINT),
        ("split", signal.SIGTERM),
        ("compute_stats", signal.SIGINT),
        ("train_unet", signal.SIGTERM),
    ],
)
def test_a_signal_at_any_time_is_one_line(project: Path, stage: str, signum: signal.Signals) -> None:
    before = sorted(project.glob("data/*"))
    stderr = ""
    for delay in (0.5, 1.0, 2.5, 4.0):
        process = subprocess.Popen(
            [sys.executable, "-m", f"stages.{stage}"], cwd=project, stderr=subprocess.PIPE, text=True
        )
        time.sleep(delay)
        process.send_signal(signum)
        _, stderr = process.communicate(timeout=60)
        if process.returncode == -signum:  # it was still importing, or Python itself was starting
            assert stderr == "" or (delay == 0.5 and stderr.endswith("KeyboardInterrupt\n"))
            continue
        if process.returncode == 0:  # it had finished
            break
        assert process.returncode == 128 + signum, stderr
        assert stderr.startswith(f"{stage}: stopped by {signum.name}") and len(stderr.splitlines()) == 1
    assert sorted(project.glob("data/*")) == before


WITHIN = """
import signal, time
from segmentation.common.signals import Interrupted, listen
listen()
try:
    code = {{"__name__": "{module}", "signal": signal}}
    exec("signal.raise_signal(signal.SIGINT); done = True", code)
    time.sleep(10)
except Interrupted as error:
    print(error.signum, "done" in code)
"""


@pytest.mark.parametrize(
    ("module", "said"),
    [("threading", "2 True\n"), ("importlib._bootstrap", "2 True\n"), ("segmentation.params", "2 False\n")],
)
def test_a_signal_waits_for_what_may_hold_a_lock(module: str, said: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", WITHIN.format(module=module)], capture_output=True, text=True
    )
    assert (finished.stdout, finished.stderr) == (said, "")


DROPPED = """
import signal, time
from segmentation.common.signals import Interrupted, listen
listen()
class Old:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)
try:
    Old()
    time.sleep(10)
except Interrupted as error:
    print(error.signum)
"""


def test_a_signal_that_python_drops_comes_again() -> None:
    finished = subprocess.run([sys.executable, "-c", DROPPED], capture_output=True, text=True)
    assert (finished.stdout, finished.stderr) == ("15\n", "")


INTERRUPTED_OFTEN = """
import os, random, signal, sys, time
from pathlib import Path
from segmentation.common.signals import Interrupted, end_at_once, listen
from segmentation.pixel_stats import compute_stats
paths = sorted(Path("data/raw/images").iterdir())[:60]
for number in range(150):
    if not (child := os.fork()):
        listen()
        try:
            while True:
                compute_stats(paths)
        except Interrupted:
            end_at_once(130)
            sys.exit(130)
    time.sleep(random.Random(number).uniform(0.02, 0.15))
    os.kill(child, signal.SIGINT)
    until = time.monotonic() + 30
    while not (status := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    assert os.waitstatus_to_exitcode(status[1]) in (130, -signal.SIGINT), number
"""


@pytest.mark.slow
@pytest.mark.fault("SIGINT while threads decode images")
def test_a_signal_never_leaves_threads_waiting(project: Path) -> None:
    """Before, in 7 of 458 times a thread waited for ever for a lock that the exception had left taken."""
    finished = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_OFTEN], cwd=project, capture_output=True, text=True, timeout=300
    )
    assert (finished.returncode, finished.stderr) == (0, "")
