"""The checkpoint whose weights a training starts from, instead of weights drawn at random."""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from segmentation.common.errors import InputError
from segmentation.models.checkpoints import load_checkpoint
from segmentation.params import Params


class WarmStart(NamedTuple):
    """The weights and batch statistics of a checkpoint, and the SHA-256 of its file."""

    weights: dict[str, Tensor]
    sha256: str


def load_warm_start(name: str, params: Params) -> WarmStart | None:
    """Return the weights in `train.start_from`/NAME.pt, or None if that is null.

    Raises `InputError` with the file's hash if `train.start_sha256` does not list it, or if it holds another
    network, or one of another width.
    """
    if params.train.start_from is None:
        return None
    path, width = Path(os.path.expanduser(params.train.start_from)) / f"{name}.pt", params.model.width
    try:
        content = path.read_bytes()
    except OSError as error:
        rule = "train.start_from must hold a NAME.pt for each network"
        raise InputError(f"{path}: cannot be read ({error.strerror}); {rule}") from None
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 not in (params.train.start_sha256 or ()):
        raise InputError(f"{path}: its SHA-256 {sha256} is not in train.start_sha256; add it if it is meant")
    model, meta = load_checkpoint(path, content)
    if (meta.model, meta.width) != (name, width):
        held = f"holds {meta.model} of width {meta.width}, not {name} of width {width} (SHA-256 {sha256})"
        raise InputError(f"{path}: {held}; change train.start_from, or model.width")
    return WarmStart(model.state_dict(), sha256)
