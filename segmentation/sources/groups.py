"""To which group each image belongs, for tables of scores: breed and species, or what groups.csv says."""

import csv
from pathlib import Path

from segmentation.common import dataset_layout as layout
from segmentation.common.errors import InputError

SPECIES = {"1": "cat", "2": "dog"}


def breeds(raw: Path) -> list[dict[str, str]]:
    """Return id, group (breed) and species of the images that list.txt in `raw` names with three numbers.

    The species is empty where its number is unknown. Raises `InputError` as `read_list` does.
    """
    path = raw / layout.LIST
    rows = []
    for image_id, line in zip(layout.read_list(path), layout.read_lines(path), strict=True):
        numbers = line.split()[-3:]
        if len(numbers) == 3 and all(map(str.isdigit, numbers)):
            breed = image_id.rpartition("_")[0].replace("_", " ")
            rows.append({"id": image_id, "group": breed, "species": SPECIES.get(numbers[1], "")})
    return rows


def own_groups(path: Path, ids: set[str]) -> list[dict[str, str]]:
    """Return id and group by `groups.csv` of a person's folder, none without it; species are empty.

    Raises `InputError` if it is no table with the columns id and group, or names an image twice, or one that
    is not among the `ids`.
    """
    file = path / "groups.csv"
    if not file.is_file():
        return []
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            table = list(csv.DictReader(text, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file}: not a table of comma-separated values in UTF-8 ({error})") from None
    groups: dict[str, str] = {}
    for row in table:
        if row.get("id") is None or row.get("group") is None:
            raise InputError(f"{file}: needs a first line `id,group`, and both in every line")
        image_id = layout.find_id(row["id"], ids)
        if image_id not in ids:
            raise InputError(f"{file}: names {image_id!r}, which is no image of {path}")
        if image_id in groups:
            raise InputError(f"{file}: names {image_id!r} twice")
        groups[image_id] = " ".join(row["group"].split())
    return [{"id": image_id, "group": group, "species": ""} for image_id, group in groups.items()]
