"""The networks that answer."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from segmentation.common.artifacts import checkpoint_path
from segmentation.common.errors import InputError
from segmentation.inference.predictor import Predictor
from segmentation.models.build import network_title
from segmentation.models.checkpoints import Metadata, load_checkpoint
from segmentation.prediction.load import trained_networks
from segmentation.serving.examples import trained_on_sample


class Network(NamedTuple):
    """A trained network, ready to predict, with the metadata of its checkpoint and the hash of that file."""

    predictor: Predictor
    meta: Metadata
    sha256: str
    sample: bool  # whether it was trained on the sample data, as far as that is known

    def describe(self, name: str) -> dict[str, Any]:
        """Return what `GET /models` says about this network, which requests call `name`."""
        known = self.meta.model_dump(include={"val_dice", "threshold", "size", "fit", "foreground"})
        first = {"name": name, "title": network_title(self.meta.model)}
        return first | known | {"sample": self.sample, "sha256": self.sha256}


def load_networks(files: Sequence[Path]) -> dict[str, Network]:
    """Return the networks of checkpoint files, or of all that were trained here, by their files' names.

    The best on validation comes first. Raises `InputError` if there is none, for a file that is no
    checkpoint, and for two files of one name.
    """
    networks: dict[str, Network] = {}
    for file in files or [checkpoint_path(name) for name in trained_networks()]:
        if file.stem in networks:
            raise InputError(f"--checkpoint {file}: another file is called {file.stem} too; rename a copy")
        if file.suffix.lower() == ".onnx":
            raise InputError(f"{file}: ONNX files are for `tools.predict`; name the checkpoint")
        content = file.read_bytes() if file.is_file() else None
        checkpoint = load_checkpoint(file, content)
        meta, sha256 = checkpoint.meta, hashlib.sha256(content or b"").hexdigest()
        predictor, sample = Predictor.from_checkpoint(checkpoint), trained_on_sample(meta)
        networks[file.stem] = Network(predictor, meta, sha256, sample)
    return dict(sorted(networks.items(), key=lambda item: -(item[1].meta.val_dice or 0)))
