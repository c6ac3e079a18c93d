"""Checkpoints: plain tensors and one JSON string, the same bytes for the same content."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import torch
from torch import nn

from stages.segmentation.errors import InputError
from stages.segmentation.files import write_bytes
from stages.segmentation.models import build_model


class Meta(TypedDict):
    """All that inference needs beside the weights, and where they come from."""

    model: str
    width: int
    size: int  # side in pixels of the square that the network was trained on
    mean: list[float]  # per channel, in [0, 1]
    std: list[float]
    threshold: float  # probability from which a pixel is foreground
    foreground: Sequence[str]
    epoch: int  # whose weights these are
    device: str
    processes: int  # that trained together
    precision: str
    params: dict[str, Any]  # those the training used


class Network(NamedTuple):
    """A trained network and what its checkpoint says of it."""

    model: nn.Module
    meta: Meta


def save_checkpoint(path: Path, model: nn.Module, meta: Meta) -> None:
    """Write the weights and `meta` to `path`, atomically.

    The bytes depend on the content alone: `torch.save` to a file would put its name into them, and a
    tensor its memory format; a view would drag the whole of its base along.
    """
    # Copied into fresh tensors: `contiguous()` keeps odd strides where a dimension has the size 1.
    weights = {
        name: torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor)
        for name, tensor in model.state_dict().items()
    }
    buffer = io.BytesIO()
    torch.save({"meta": json.dumps(meta, sort_keys=True), "weights": weights}, buffer)
    write_bytes(path, buffer.getvalue())


def load_checkpoint(path: Path) -> Network:
    """Return a trained network, in evaluation mode on the CPU.

    Raises `InputError` where the file is missing or is not a checkpoint of this program.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        meta: Meta = json.loads(content["meta"])
        model = build_model(meta["model"], meta["width"], dropout=0.0)
        model.load_state_dict(content["weights"])
    except FileNotFoundError:
        raise InputError(f"{path}: no such checkpoint; train the network first: `dvc repro`") from None
    except Exception as error:  # a foreign file can fail in any of torch's readers
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:120]
        raise InputError(f"{path}: not a checkpoint of this program ({reason})") from None
    return Network(model.eval(), meta)
