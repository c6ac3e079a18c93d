from pathlib import Path

import pytest

from segmentation.common.errors import InputError
from segmentation.common.tables import csv_bytes, read_csv

COLUMNS = ("id", "group", "species")


def test_a_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    rows = [
        {"id": "a, b", "group": 'an "odd" one', "species": "cat"},
        {"id": "c", "group": "", "species": ""},
    ]
    path.write_bytes(csv_bytes(COLUMNS, rows))
    assert read_csv(path, "download", COLUMNS) == rows
    path.write_bytes(csv_bytes(COLUMNS, []))
    assert path.read_text() == "id,group,species\n"
    assert read_csv(path, "download", COLUMNS, may_be_empty=True) == []
    with pytest.raises(InputError, match="damaged"):
        read_csv(path, "download", COLUMNS)


def test_floats_have_six_digits() -> None:
    row = {"name": "a", "count": 1_234_567, "share": 1 / 3, "small": 1.23456789e-7}
    assert csv_bytes(list(row), [row]) == b"name,count,share,small\na,1234567,0.333333,1.23457e-07\n"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "a,b\n1,2\n",
        "id,group,species\na,b\n",
        'id,group,species\na,"b,c\n',
        "id,group,species\n1,2,3,4\n",
    ],
)
def test_a_damaged_table(tmp_path: Path, content: str) -> None:
    path = tmp_path / "groups.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=r"groups\.csv: damaged; `dvc repro` makes it again"):
        read_csv(path, "download", COLUMNS)
    path.unlink()
    with pytest.raises(InputError, match=r"groups\.csv: no such file; download has not run to its end"):
        read_csv(path, "download")
