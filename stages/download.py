"""Bring the dataset that `data.source` names into data/raw/, in the layout of Oxford-IIIT Pet."""

import os
from pathlib import Path

from segmentation.common.artifacts import GROUP_COLUMNS, GROUPS, RAW
from segmentation.common.command_line import make_parser, run
from segmentation.common.files import replace_dir, write_bytes
from segmentation.common.tables import csv_bytes
from segmentation.params import load_params
from segmentation.sources.folder import write_folder
from segmentation.sources.groups import breeds
from segmentation.sources.oxford_pets import default_cache, write_pets
from segmentation.sources.sample.generator import write_sample


def main() -> None:
    """Write data/raw/ and data/groups.csv; what is there stays until the new dataset is complete."""
    data = load_params().data
    lines: list[str] = []
    with replace_dir(RAW) as folder:
        if data.source == "sample":
            write_sample(folder, data.seed)
            groups = breeds(folder)
        elif data.source == "oxford-iiit-pet":
            write_pets(folder, **data.pets.model_dump(), cache=default_cache())
            groups = breeds(folder)
        else:
            path = Path(os.path.expanduser(data.folder.path))
            lines, groups = write_folder(folder, path, data.folder)
    write_bytes(GROUPS, csv_bytes(GROUP_COLUMNS, groups))
    print(*lines, f"{data.source}: {RAW} is complete", sep="\n")


if __name__ == "__main__":
    run(main, make_parser(__doc__))
