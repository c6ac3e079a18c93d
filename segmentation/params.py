"""The schema of `params.yaml`: every knob, its type and its range, checked before any work.

Every stage validates the whole file; `dvc.yaml` declares which of the values a stage uses. `params.yaml`
explains each knob beside its value.

This module is no dependency of any stage, since it can refuse a value but never change one: no field has a
default, and a validator returns what it was given, or the number that a text stands for.
"""

import difflib
import os
import re
import reprlib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from segmentation.common.artifacts import CHECKPOINTS
from segmentation.common.errors import InputError

PARAMS = Path("params.yaml")
SHOWN = 8  # problems in an error

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def _number(value: Any) -> Any:
    # YAML 1.1 reads `1e-4`, and the `1e-05` that `dvc exp run -S` writes, as strings.
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value


def _whole_number(value: Any) -> Any:
    value = _number(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _ordered(values: list[float]) -> list[float]:
    if values[0] > values[1]:
        raise ValueError("min must be ≤ max")
    return values


def _unique(values: list[Any]) -> list[Any]:
    if len({str(value) for value in values} - {""}) < len(values):
        raise ValueError("must name each one once, and none that is empty")
    return values


def _outside_checkpoints(value: str) -> str:
    path = os.path.expanduser(value)
    if not Path(path).is_absolute():
        raise ValueError("must be an absolute path")
    if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(CHECKPOINTS)):
        raise ValueError(f"must lie outside {CHECKPOINTS}/, whose files DVC deletes; copy them")
    return value


Real = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Whole = Annotated[int, BeforeValidator(_whole_number)]
Seed = Annotated[Whole, Field(ge=0, lt=2**32)]
Share = Annotated[Real, Field(ge=0, le=1)]
Range = Annotated[list[Annotated[Real, Field(ge=0.1, le=10)]], Field(min_length=2, max_length=2)]
Part = Literal["pet", "background", "border"]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Group(BaseModel):
    """A mapping in `params.yaml`: exactly these keys, exactly these types, no changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Pets(Group):
    """Where the two archives of Oxford-IIIT Pet are, and their md5."""

    images_url: str
    images_md5: str
    annotations_url: str
    annotations_md5: str


class Folder(Group):
    """A person's own images and masks."""

    path: Annotated[str, Field(min_length=1)]
    test_fraction: Annotated[Real, Field(gt=0, lt=1)]
    mask_threshold: Annotated[Real | None, Field(gt=0)]
    orientation: Literal["stored", "upright"] | None
    white: Annotated[Whole | None, Field(ge=1)]
    classes: Annotated[list[str | int], Field(min_length=1), AfterValidator(_unique)] | None

    @field_validator("classes")
    @classmethod
    def _no_threshold(cls, value: list[str | int] | None, info: ValidationInfo) -> list[str | int] | None:
        if value is not None and info.data.get("mask_threshold") is not None:
            raise ValueError("must be null with data.folder.mask_threshold: both say what is foreground")
        return value


class Data(Group):
    """Which images, which of them train, and what counts as foreground."""

    source: Literal["sample", "oxford-iiit-pet", "folder"]
    seed: Seed
    foreground: Annotated[list[Part], Field(min_length=1), AfterValidator(_unique)]
    limit: Annotated[Whole | None, Field(ge=1)]
    val_fraction: Annotated[Real, Field(gt=0, lt=1)]
    max_dropped: Share
    pets: Pets
    folder: Folder


class ImageSettings(Group):
    """What a network sees of an image."""

    size: Annotated[Whole, Field(ge=32, le=4096)]
    fit: Literal["stretch", "pad", "tiles"]
    scale: Annotated[Real, Field(gt=0, le=16)]
    resize: Literal["linear", "area"]
    normalize: Literal["own", "lab_report", "imagenet", "none"]

    @field_validator("scale")
    @classmethod
    def _of_tiles(cls, value: float, info: ValidationInfo) -> float:
        fit = info.data.get("fit")
        if value != 1 and fit in ("stretch", "pad"):
            raise ValueError(f"must be 1 with image.fit = {fit}; it is for tiles")
        return value


class Model(Group):
    """The shape of both networks."""

    width: Annotated[Whole, Field(ge=1, le=512)]
    dropout: Annotated[Real, Field(ge=0, lt=1)]
    init: Literal["he", "default"]


class Augment(Group):
    """Random changes of the training images."""

    affine: Share
    scale: Annotated[Range, AfterValidator(_ordered)]
    shear: Annotated[Real, Field(ge=0, le=45)]
    border: Literal["black", "reflect"]
    flip: Share
    color: Share


class Train(Group):
    """How both networks are trained."""

    seed: Seed
    lr: Annotated[Real, Field(gt=0, le=10)]
    epochs: Annotated[Whole, Field(ge=1, le=100_000)]
    min_steps: Annotated[Whole, Field(ge=0, le=1_000_000)]
    batch_size: Annotated[Whole, Field(ge=1, le=65_536)]
    weight_decay: Annotated[Real, Field(ge=0, le=10)]
    optimizer: Literal["adam", "adamw", "muon"]
    schedule: Literal["constant", "cosine"]
    warmup: Annotated[Real, Field(ge=0, lt=1)]
    small_first: Share
    loss: Literal["bce_dice", "double_sigmoid"]
    processes: Annotated[Whole, Field(ge=1, le=1024)]
    precision: Literal["auto", "float32", "tf32", "bf16"]
    monitor: Literal["dice", "dice_soft"]
    start_from: Annotated[str, AfterValidator(_outside_checkpoints)] | None
    start_sha256: Annotated[list[Sha256], Field(min_length=1)] | None

    @field_validator("start_sha256")
    @classmethod
    def _named(cls, value: list[str] | None, info: ValidationInfo) -> list[str] | None:
        if value is None and info.data.get("start_from") is not None:
            raise ValueError("must list the SHA-256 of the files in train.start_from (`sha256sum *.pt`)")
        return value


class Networks(Group):
    """Which networks are trained and evaluated. One that has no field here always is."""

    unet: bool
    resnet: bool

    @field_validator("resnet")
    @classmethod
    def _any(cls, value: bool, info: ValidationInfo) -> bool:
        if not (value or info.data.get("unet")):
            raise ValueError("must be true where networks.unet is false")
        return value


class Evaluate(Group):
    """How the test scores are reported."""

    bootstrap: Annotated[Whole, Field(ge=100, le=1_000_000)]
    resolution: Literal["network", "original"]
    tta: Literal["none", "flip"]


class Machine(Group):
    """What depends on the machine and changes no output: no stage depends on it."""

    cache_bytes: Annotated[Whole, Field(ge=0)]


class Params(Group):
    """All of `params.yaml`."""

    data: Data
    image: ImageSettings
    model: Model
    augment: Augment
    train: Train
    networks: Networks
    evaluate: Evaluate
    machine: Machine


def load_params(path: Path = PARAMS) -> Params:
    """Read and check a params file.

    Raises `InputError` with one line that names each bad key, its value and what is allowed.
    """
    return check_params(read_params(path), path)


def read_params(path: Path) -> Any:
    """Read a params file as it is; raises `InputError` if it is not YAML."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run from the folder that holds it") from None
    except OSError:
        raise
    except Exception as error:  # besides its own errors PyYAML lets through those of the values' constructors
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: not readable as YAML: {reason[:300]}") from None


def check_params(values: Any, path: Path) -> Params:
    """Check what `read_params` gave, or what was made of it; raises `InputError` as `load_params` does."""
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        problems = [_describe(problem) for problem in error.errors()]
        more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise InputError(f"{path}: {'; '.join(problems[:SHOWN])}{more}") from None


def _describe(problem: Any) -> str:
    """One clause for one pydantic error: the key, its value, what is allowed."""
    *groups, key = keys = [str(part)[:60] for part in problem["loc"]] or ["the file"]
    name = ".".join(keys) if all(map(str.isprintable, keys)) else _short(".".join(keys))
    if problem["type"] == "missing":
        return f"{name} is missing"
    if problem["type"] == "extra_forbidden":
        group: Any = Params
        for part in groups:
            group = group.model_fields[part].annotation
        known = list(group.model_fields)
        close = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"allowed here: {', '.join(known)}"
        return f"{name} is not a known key ({hint})"
    message = problem["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    return f"{name} = {_short(problem['input'])}: {message}"


def _short(value: Any) -> str:
    try:
        return reprlib.repr(value)[:60]  # aliases let a short YAML file hold a billion words
    except ValueError:  # an integer of thousands of digits
        return f"a {type(value).__name__} too long to be shown"
