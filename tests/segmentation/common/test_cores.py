import os
import subprocess
import sys
from pathlib import Path

import pytest

from segmentation.common.cores import usable_cores

COUNT = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("text", "expected"), [("100000 100000\n", 1), ("max 100000\n", COUNT), ("9900000 9000\n", COUNT)]
)
def test_a_quota_of_version_2(tmp_path: Path, text: str, expected: int) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert usable_cores(tmp_path) == expected


@pytest.mark.parametrize(("quota", "expected"), [("50000", 1), ("-1", COUNT)])
def test_a_quota_of_version_1(tmp_path: Path, quota: str, expected: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert usable_cores(tmp_path) == expected


def test_without_a_cgroup_the_affinity_counts(tmp_path: Path) -> None:
    assert usable_cores(tmp_path) == COUNT
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    code += "from segmentation.common.cores import usable_cores; print(usable_cores())"
    assert subprocess.check_output([sys.executable, "-c", code]).strip() == b"1"
