"""One HTML file about a run, that needs no network, and no script except to sort and filter images."""

import base64
import io
import os
import platform
from contextlib import suppress
from datetime import date
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from PIL import Image

from segmentation.common.artifacts import RAW
from segmentation.common.errors import InputError
from segmentation.common.leaves import flat
from segmentation.evaluation.failures import KINDS, WRONG_MASK
from segmentation.evaluation.overlays import LEGEND
from segmentation.evaluation.tables import BASELINES, FEWEST
from segmentation.experiments.comparisons import ArmComparison, comparisons
from segmentation.experiments.plan_file import read_plan
from segmentation.experiments.results import read_results
from segmentation.models.build import network_title
from segmentation.params import PARAMS, read_params
from segmentation.report import charts
from segmentation.report.checks import ENOUGH, checks
from segmentation.report.outputs import RunOutputs, Table, commit, matches_commit
from segmentation.training.fingerprint import installed
from segmentation.workspace import other_results

TEMPLATE = Path(__file__).with_name("page.html")
DEFAULT = Path("presets/default.yaml")
EXPERIMENTS = Path("experiments")


def page(outputs: RunOutputs) -> str:
    """Return the page about a run that was made with the present params.yaml."""
    jinja = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    jinja.filters["size"] = lambda data: Image.open(io.BytesIO(data)).size
    jinja.filters["base64"] = lambda data: base64.b64encode(data).decode()
    params, default = (flat(read_params(path)) for path in (PARAMS, DEFAULT))
    source = os.path.expanduser(params["data.folder.path"]) if params["data.source"] == "folder" else RAW
    images = gallery(outputs)
    return jinja.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        headline=headline(outputs),
        outputs=outputs,
        details=outputs.details,
        params=params,
        changed={key: value for key, value in params.items() if value != default.get(key)},
        source=source,
        date=newest(Path(source)),
        commit=commit(),
        committed=matches_commit(),
        titles={name: network_title(name) for name in outputs.names},
        baselines=BASELINES,
        fewest=FEWEST,
        checks=checks(outputs),
        images=images,
        kinds=[*KINDS, WRONG_MASK],
        groups=sorted({rows[0]["group"] for _, rows in images} - {""}),
        legend={label: f"rgb{color}" for label, color in LEGEND.items()},
        charts=charts,
        params_file=PARAMS.read_text(encoding="utf-8"),
        experiments=experiments(outputs.split["test"]),
        versions={"Python": platform.python_version()} | dict(installed()),
        other_results=other_results(),
    )


def headline(outputs: RunOutputs) -> str:
    """Say in one sentence which network wins, by how much, and how sure that is."""
    test, first, count = outputs.test, outputs.names[0], outputs.details["images"]
    best, *others = sorted(outputs.names, key=lambda name: test[name]["dice"], reverse=True)
    reached = f"{network_title(best)} reaches a mean Dice of {test[best]['dice']:.3f}"
    if not others:
        return f"{reached}."
    if count < FEWEST:
        return f"{reached}, the highest; {count} test images are too few to say that it is better."
    second = others[0]
    if first not in (best, second):
        return f"{reached}, the highest."
    gap = test["difference"][second if best == first else best]  # minus the first network
    low, gain, high = sorted(0 + gap[key] * (-1 if best == first else 1) for key in ("low", "dice", "high"))
    few = f", on only {count} test images" if count < ENOUGH else ""
    if low <= 0:
        return (
            f"No clear winner between {network_title(best)} and {network_title(second)}: the difference in"
            f" mean Dice is {gain:.3f}, with a 95 % interval from {low:.3f} to {high:.3f}{few}."
        )
    return (
        f"{network_title(best)} beats {network_title(second)} by {gain:.3f} mean Dice"
        f" (95 % interval {low:.3f} to {high:.3f}){few}."
    )


def newest(folder: Path) -> str:
    """Return the date of the newest file below a folder, "unknown" if there is none."""
    times = [path.lstat().st_mtime for path in folder.rglob("*")]
    return date.fromtimestamp(max(times)).isoformat() if times else "unknown"


def gallery(outputs: RunOutputs) -> list[tuple[str, Table]]:
    """Return the id of each image in the gallery and its rows of metrics/per_image.csv, worst first."""
    names = (name for name in outputs.gallery if name.endswith(".jpg"))
    images: dict[str, Table] = {name.removesuffix(".jpg"): [] for name in names}
    for row in outputs.images:
        if row["id"] in images:
            images[row["id"]].append(row)
    return sorted(images.items(), key=lambda image: min(float(row["dice"]) for row in image[1]))


def experiments(test: list[str]) -> dict[str, list[ArmComparison]]:
    """Return the comparisons of each file of questions whose runs had these test images."""
    answered = {}
    for path in sorted(EXPERIMENTS.glob("*.yaml")):
        with suppress(InputError):  # tools.experiments says what is wrong with it
            results = read_results(path)
            if set(results.images) == set(test):
                answered[path.stem] = comparisons(read_plan(path), results)
    return answered
