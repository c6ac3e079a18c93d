"""Checkpoints: plain tensors and one JSON string, the same bytes for the same content.

A checkpoint may come from anywhere. It is checked without running anything in it, and before memory is
allocated for the network that it names.
"""

import io
import sys
import zipfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Annotated, Any, NamedTuple

import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from torch import Tensor, nn

from segmentation.common.errors import InputError
from segmentation.common.geometry import Fit, Geometry, Resize
from segmentation.models.build import build_model, check_name
from segmentation.params import ImageSettings, Model, Part

# Raised with every change of the metadata. A field that is added has a default, so that older files load.
VERSION = 6

UNTRAINED = b"not trained: false under networks in params.yaml\n"  # in place of a checkpoint

Channels = Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=3, max_length=3)]
Byte = Annotated[int, Field(ge=0, le=255)]


class Metadata(BaseModel):
    """All that inference needs besides the weights, and where they come from."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    model: Annotated[str, AfterValidator(check_name)]
    width: Annotated[int, *Model.model_fields["width"].metadata]
    size: Annotated[int, *ImageSettings.model_fields["size"].metadata]  # pixels of a side in training
    mean: Channels  # red, green, blue, in [0, 1]
    std: Channels
    threshold: Annotated[float, Field(gt=0, lt=1)]  # probability from which a pixel is foreground
    foreground: Annotated[Sequence[Part], Field(min_length=1)]
    epoch: int  # whose weights these are
    device: str
    processes: int  # that trained together
    precision: Annotated[str, Field(pattern="^(float32|tf32|bf16)$")]  # tf32 since format 4
    params: dict[str, Any]  # those that the training used
    val_dice: float | None = None  # of that epoch, at 0.5; since format 2
    started_from: str | None = None  # SHA-256 of a checkpoint; None: from scratch; since format 3
    resize: Resize = "linear"  # see Geometry; since format 5
    fit: Fit = "stretch"  # this and the next two: see Geometry; since format 6
    scale: Annotated[float, *ImageSettings.model_fields["scale"].metadata] = 1.0
    fill: tuple[Byte, Byte, Byte] = (0, 0, 0)

    @property
    def geometry(self) -> Geometry:
        """How the network sees an image."""
        return Geometry(self.size, self.resize, self.fit, self.scale, self.fill)


class Checkpoint(NamedTuple):
    """A trained network and the metadata of its checkpoint."""

    model: nn.Module
    meta: Metadata


@cache  # a command may load a checkpoint twice
def warn(line: str) -> None:
    """Print a warning on standard error, once."""
    print(f"warning: {line}", file=sys.stderr, flush=True)


def checkpoint_bytes(weights: Mapping[str, Tensor], meta: Metadata, so_far: Sequence[int] = ()) -> bytes:
    """Return the checkpoint file of a network, whose `state_dict()` is `weights`.

    If its training has not ended, `so_far` are the finished epochs and all of them. The bytes depend on the
    content alone: `torch.save` to a file would put its name into them, and a tensor its memory format; a view
    would drag the whole of its base along.
    """
    content: dict[str, Any] = {"version": VERSION, "meta": meta.model_dump_json(), "weights": fresh(weights)}
    if so_far:
        content["so_far"] = list(so_far)
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def load_checkpoint(path: Path, file: bytes | None = None) -> Checkpoint:
    """Return a trained network, in evaluation mode on the CPU; `file` is the content of `path`, if known.

    Warns if its training has not ended. Raises `InputError` if the file is missing, or is not a checkpoint
    that this program can read.
    """
    try:
        if is_untrained(path):
            problem = f"not trained, as networks.{path.stem} was false in params.yaml"
            raise InputError(f"{path}: {problem}; set it to true and run `dvc repro`")
        content = read_archive(io.BytesIO(file) if file else path)
        if isinstance(content["version"], int) and content["version"] > VERSION:
            formats = f"format {content['version']}; this version reads up to {VERSION}"
            raise InputError(f"{path}: of a newer version of this program ({formats}); update it, or train")
        meta = Metadata.model_validate_json(content["meta"])
        with torch.device("meta"):  # no memory yet; He initialisation there would load torch's compiler (2 s)
            model = build_model(meta.model, meta.width, dropout=0.0, init="default")
        expected = model.state_dict()
        for name, tensor in content["weights"].items():  # whether the names are right, torch says
            known = expected.get(name, tensor)
            if (tensor.shape, tensor.dtype) != (known.shape, known.dtype):
                raise ValueError(f"{name} is {tuple(tensor.shape)} {tensor.dtype}")
        # Fresh: a file can describe a tensor whose elements share one place in memory.
        model.load_state_dict(fresh(content["weights"]), assign=True)
        if so_far := content.get("so_far"):
            epoch, epochs = map(int, so_far)
            warn(f"{path}: of a training that has not ended (epoch {epoch} of {epochs})")
    except FileNotFoundError:
        raise InputError(f"{path}: no such checkpoint; `dvc repro` trains, or name another file") from None
    except InputError:
        raise
    except Exception as error:  # a foreign file can fail in any of torch's readers
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        raise InputError(f"{path}: not a checkpoint of this program ({reason}); train again") from None
    return Checkpoint(model.eval(), meta)


def is_untrained(path: Path) -> bool:
    """Whether a file stands in place of the checkpoint of a network that was not to be trained."""
    with path.open("rb") as file:
        return file.read(len(UNTRAINED) + 1) == UNTRAINED


def read_archive(file: Path | IO[bytes]) -> dict[str, Any]:
    """Return the mapping of plain values and tensors, on the CPU, that `torch.save` wrote.

    Nothing in it is run. A damaged or foreign file raises what zipfile and torch raise, a missing one
    `FileNotFoundError`.
    """
    with zipfile.ZipFile(file) as parts:  # as torch.save writes: a compressed part could unpack to anything
        if any(part.compress_type != zipfile.ZIP_STORED for part in parts.infolist()):
            raise ValueError("it is compressed")
        if broken := parts.testzip():  # torch does not look at the checksums
            raise ValueError(f"{broken} is damaged")
    if not isinstance(file, Path):
        file.seek(0)
    content = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(content, dict):
        raise ValueError("it contains no mapping")
    return content


def save_archive(content: dict[str, Any], file: IO[bytes]) -> None:
    """Write what `read_archive` reads; raises `OSError` if the file cannot be written."""
    try:
        torch.save(content, file)
    except RuntimeError as error:  # torch's own, for a failed write
        raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None


def fresh(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return contiguous copies on the CPU; `contiguous()` would keep odd strides where a side is 1."""
    return {name: torch.empty(old.shape, dtype=old.dtype).copy_(old) for name, old in weights.items()}
