"""The table of results on the console."""

import json
from pathlib import Path

from commands import RunHere


def test_it_shows_the_scores_and_where_the_overlays_are(finished: Path, run_here: RunHere) -> None:
    metrics = json.loads((finished / "metrics/test.json").read_text())
    status, shown, stderr = run_here(finished, "tools.summary")
    assert (status, stderr) == (0, "")
    assert f"{metrics['resnet']['dice']:.4f}" in shown and "metrics/plots/overlays/worst.png" in shown
