"""To which group each image belongs, for tables of scores: breed and species, or what a person says."""

import csv
import io
from pathlib import Path
from typing import TypedDict

from segmentation.common import dataset_layout as layout
from segmentation.common.errors import InputError

SPECIES = {"1": "cat", "2": "dog"}
OWN = "groups.csv"  # in a person's folder: a table with the columns id and group


class Row(TypedDict):
    """The group and the species of an image, empty where they are not known."""

    id: str
    group: str
    species: str


def breeds(raw: Path) -> list[Row]:
    """Return breed and species of the images that list.txt in the dataset folder `raw` names with numbers.

    Raises `InputError` as `read_list` does.
    """
    ids = layout.read_list(raw / layout.LIST)
    lines = (raw / layout.LIST).read_text(encoding="utf-8-sig").splitlines()
    numbers = [line.split()[-3:] for line in lines if line.strip() and not line.startswith("#")]
    return [
        Row(
            id=image_id,
            group=image_id.rpartition("_")[0].replace("_", " "),
            species=SPECIES.get(found[1], ""),
        )
        for image_id, found in zip(ids, numbers, strict=True)
        if len(found) == 3 and all(map(str.isdigit, found))
    ]


def own_groups(path: Path, ids: set[str]) -> list[Row]:
    """Return the groups in `groups.csv` of a person's folder, none without it; species are empty.

    Raises `InputError` if it is no table with the columns id and group, or names an image twice, or one that
    is not among the `ids`.
    """
    file = path / OWN
    if not file.is_file():
        return []
    try:
        table = list(
            csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig"), newline=""), strict=True)
        )
    except UnicodeDecodeError:
        raise InputError(f"{file}: not a text file in UTF-8") from None
    except csv.Error as error:
        raise InputError(f"{file}: not a table of comma-separated values ({error})") from None
    found: dict[str, Row] = {}
    for row in table:
        if row.get("id") is None or row.get("group") is None:
            raise InputError(f"{file}: needs a first line `id,group`, and both in every line")
        image_id = layout.find_id(row["id"], ids)
        if image_id not in ids:
            raise InputError(f"{file}: names {image_id!r}, which is no image of {path / 'images'}")
        if image_id in found:
            raise InputError(f"{file}: names {image_id!r} twice")
        found[image_id] = Row(id=image_id, group=" ".join(row["group"].split()), species="")
    return list(found.values())
