"""The table of results on the console."""

import json
from pathlib import Path

from commands import RunHere
from projects import copied


def test_each_row_shows_the_scores_of_its_network(finished: Path, run_here: RunHere) -> None:
    test = json.loads((finished / "metrics/test.json").read_text())
    scores = json.loads((finished / "metrics/details.json").read_text())["original"]
    ended = run_here(finished, "tools.summary")
    assert (ended.status, ended.stderr) == (0, "")
    for title, name in (("U-Net ", "unet"), ("ResNet34-UNet ", "resnet")):
        (row,) = [line for line in ended.stdout.splitlines() if line.startswith(title)]
        keys = ("dice", "dice_low", "dice_high", "iou", "dice_pooled", "dice_soft")
        assert row.removeprefix(title).replace(" to ", " ").split() == [
            f"{(scores[name] | test[name])[key]:.4f}" for key in keys
        ]
    shown = [line.removeprefix("overlays: ") for line in ended.stdout.splitlines() if "overlays" in line]
    assert shown and all((finished / path).is_file() for path in shown)


def test_scores_of_another_version_are_one_line(finished: Path, tmp_path: Path, run_here: RunHere) -> None:
    project = copied(finished, tmp_path)
    (project / "metrics/details.json").unlink()
    (project / "metrics/details.json").write_text("{}")
    ended = run_here(project, "tools.summary")
    assert (ended.status, ended.stdout) == (2, "") and "`dvc repro` makes them again" in ended.stderr
