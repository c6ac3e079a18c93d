"""The checkpoints of all networks."""

from segmentation.common.artifacts import CHECKPOINTS, checkpoint_path
from segmentation.common.errors import InputError
from segmentation.models.build import network_names
from segmentation.models.checkpoints import Checkpoint, load_checkpoint


def load_checkpoints() -> dict[str, Checkpoint]:
    """Return the checkpoint of each network, by name.

    Raises `InputError` if one is missing, or if they were trained for different geometries or foregrounds.
    """
    checkpoints = {name: load_checkpoint(checkpoint_path(name)) for name in network_names()}
    first, *others = [checkpoint.meta for checkpoint in checkpoints.values()]
    if any((meta.geometry, meta.foreground) != (first.geometry, first.foreground) for meta in others):
        raise InputError(
            f"{CHECKPOINTS}: trained for different sizes, kinds of resizing or foregrounds; run `dvc repro`"
        )
    return checkpoints
