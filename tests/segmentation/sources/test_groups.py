from pathlib import Path

import pytest

from segmentation.common import dataset_layout as layout
from segmentation.common.artifacts import Split
from segmentation.common.errors import InputError
from segmentation.evaluation.evaluation import has_twin
from segmentation.sources.groups import breeds, own_groups

IDS = {"cell 1", "cell 2", "cell 3"}


def test_breeds_of_the_official_list(tmp_path: Path) -> None:
    (tmp_path / layout.LIST).parent.mkdir()
    (tmp_path / layout.LIST).write_text(
        "#Image CLASS-ID\nBritish_Shorthair_12 8 1 5\nstaffordshire_bull_terrier_3 36 2 24\n"
    )
    (tmp_path / layout.LIST).open("a").write("an id alone\n")
    assert [tuple(row.values()) for row in breeds(tmp_path)] == [
        ("British_Shorthair_12", "British Shorthair", "cat"),
        ("staffordshire_bull_terrier_3", "staffordshire bull terrier", "dog"),
    ]


def test_own_groups(tmp_path: Path) -> None:
    assert own_groups(tmp_path, IDS) == []
    (tmp_path / "groups.csv").write_bytes(
        "\ufeffid,group\r\ncell 1.tif,plate A\r\ncell 3,plate B\r\n".encode()
    )
    found = [tuple(row.values()) for row in own_groups(tmp_path, IDS)]
    assert found == [("cell 1", "plate A", ""), ("cell 3", "plate B", "")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,group\ncell 9,x\n", r"names 'cell 9', which is no image of "),
        (b"id,group\ncell 1,x\ncell 1.png,y\n", "names 'cell 1' twice"),
        (b"name,group\ncell 1,x\n", "needs a first line `id,group`"),
        (b"id,group\ncell 1\n", "both in every line"),
        (b"\xff\xfe", "not a table of comma-separated values in UTF-8"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_used(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "groups.csv").write_bytes(content)
    with pytest.raises(InputError, match=rf"^{tmp_path}/groups\.csv: .*{message}"):
        own_groups(tmp_path, IDS)


def test_twins_of_test_images_are_those_among_what_trained_or_validated() -> None:
    split = Split(
        train=["a"], val=["b"], test=["c", "d", "e", "f"], dropped=[], sha256="",
        twins=[["a", "c"], ["d", "e"], ["b", "f"]],
    )  # fmt: skip
    assert has_twin(split).tolist() == [True, False, False, True]
