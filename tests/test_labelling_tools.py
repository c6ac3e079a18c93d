"""From what a labelling tool exports to a trained network and a mask: each row of docs/own_images.md."""

import json
import re
from pathlib import Path

import pytest
import tool_exports as exports
import yaml
from commands import RunHere
from PIL import Image
from projects import ROOT, set_params


def rows() -> dict[str, list[object]]:
    """The classes that each row of the table says to type."""
    table = (
        (ROOT / "docs/own_images.md")
        .read_text()
        .partition("## From a labelling tool")[2]
        .partition("\n## ")[0]
    )
    found = re.findall(r"^\| ([^|]+) \|.*data\.folder\.classes=(\[.*?\])", table, re.M)
    return {tool: yaml.safe_load(classes) for tool, classes in found}


def test_the_table_has_a_row_for_each_export() -> None:
    assert rows() == {tool: classes for tool, (_, classes) in exports.EXPORTS.items()}


@pytest.mark.slow
@pytest.mark.parametrize("tool", exports.EXPORTS)
def test_from_an_export_to_a_mask(
    tool: str, project: Path, tmp_path: Path, states: Path, run_here: RunHere
) -> None:
    exports.EXPORTS[tool][0](own := tmp_path / "own")
    set_params(
        project, data__source="folder", data__folder__path=str(own), data__folder__classes=rows()[tool]
    )
    set_params(project, model__width=4, train__epochs=30, train__batch_size=2, data__limit=None)
    for stage in ("download", "split", "compute_stats", "train_unet"):
        ended = run_here(project, f"stages.{stage}")
        assert ended.status == 0, ended.stderr
    assert json.loads((project / "data/split.json").read_text())["dropped"] == []
    assert json.loads((project / "metrics/train_unet.json").read_text())["val_dice"] > 0.5
    exports.write_image(tmp_path / "new.jpg", 20)
    ended = run_here(project, "tools.predict", tmp_path / "new.jpg", "--model", "unet")
    assert ended.status == 0, ended.stderr
    assert Image.open(project / "predictions/new.png").size == exports.size(20)
