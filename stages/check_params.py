"""Check params.yaml before any other stage: DVC deletes the outputs of a stage before it runs its command."""

import os
from pathlib import Path

from segmentation.common.artifacts import PARAMS_CHECKED
from segmentation.common.command_line import make_parser, run
from segmentation.common.errors import InputError
from segmentation.common.files import write_bytes
from segmentation.params import PARAMS, load_params


def main() -> None:
    """Refuse a wrong value; write data/params_checked.txt, which is the same for all good ones."""
    params = load_params()
    own_data = params.data.folder.path if params.data.source == "folder" else None
    for key, folder in {"data.folder.path": own_data, "train.start_from": params.train.start_from}.items():
        if folder and not Path(os.path.expanduser(folder)).is_dir():
            raise InputError(f"{PARAMS}: {key} = {folder}: no such folder")
    write_bytes(PARAMS_CHECKED, b"params.yaml holds no wrong value.\n")


if __name__ == "__main__":
    run(main, make_parser(__doc__))
