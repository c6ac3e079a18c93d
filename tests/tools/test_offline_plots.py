"""DVC's plots, drawn in a real browser without a network."""

from pathlib import Path
from typing import Any

import pytest
from browsers import needs_browser, opened
from commands import RunHere, dvc
from projects import copied


@needs_browser
@pytest.mark.slow
def test_dvc_draws_its_plots_without_a_network(
    finished: Path, tmp_path: Path, run_here: RunHere, browser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = copied(finished, tmp_path)
    ended = run_here(project, "tools.offline_plots")
    assert (ended.status, ended.stderr) == (0, "")
    for command in (["show"], ["diff", "HEAD"]):
        dvc(project, "plots", *command, "--out", "drawn")
        shown, complaints = opened(browser, project / "drawn/index.html")
        shown.wait_for_selector("canvas, svg.marks")
        assert [complaint for complaint in complaints if not complaint.startswith("warning")] == []
        drawn = shown.locator("canvas, svg.marks").count()
        assert drawn >= (6 if command == ["show"] else 1), command


def test_it_needs_the_repository(tmp_path: Path, run_here: RunHere) -> None:
    ended = run_here(tmp_path, "tools.offline_plots")
    assert ended.status == 2 and ended.stderr.startswith("offline_plots: error: .dvc: no such folder")
