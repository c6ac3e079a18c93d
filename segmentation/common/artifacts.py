"""Where the stages leave their outputs, from the root of the repository, and what these hold."""

from pathlib import Path

from pydantic import FiniteFloat
from typing_extensions import TypedDict  # typing's own is not enough for pydantic before Python 3.12

PARAMS_CHECKED = Path("data/params_checked.txt")
RAW = Path("data/raw")
GROUPS = Path("data/groups.csv")
GROUP_COLUMNS = ("id", "group", "species")
SPLIT = Path("data/split.json")
STATS = Path("data/stats.json")
CHECKPOINTS = Path("checkpoints")
METRICS = Path("metrics")
PLOTS = METRICS / "plots"
OVERLAYS = PLOTS / "overlays"
GALLERY = PLOTS / "gallery"
THRESHOLD_CURVES = PLOTS / "threshold"
RELIABILITY = PLOTS / "reliability"
TEST_METRICS = METRICS / "test.json"
DETAILS = METRICS / "details.json"
PER_IMAGE = METRICS / "per_image.csv"
RUNS = Path("runs")  # TensorBoard; what differs from run to run goes here, never into an output


class Dropped(TypedDict):
    """A listed image that cannot be used."""

    id: str
    reason: str


class Split(TypedDict):
    """The content of `data/split.json`.

    `twins` are groups of near-duplicate images; `sha256` covers every kept image and trimap.
    """

    train: list[str]
    val: list[str]
    test: list[str]
    dropped: list[Dropped]
    twins: list[list[str]]
    sha256: str


class Stats(TypedDict):
    """The content of `data/stats.json`: per channel, in [0, 1]."""

    mean: list[FiniteFloat]
    std: list[FiniteFloat]
    images: int
    pixels: int


def checkpoint_path(name: str) -> Path:
    """Where the checkpoint of the network `name` is."""
    return CHECKPOINTS / f"{name}.pt"


def curve_path(name: str) -> Path:
    """Where the table of the epochs of the network `name` is."""
    return PLOTS / f"train_{name}.csv"


def training_summary_path(name: str) -> Path:
    """Where the summary of the training of the network `name` is."""
    return METRICS / f"train_{name}.json"
