"""A person's own images, from the folder to masks of new photos, as data/folder/README.md describes it."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import RunHere, dvc, dvc_environment
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageOps
from projects import copied, set_params

COUNT = 24

Pair = tuple[Image.Image, Image.Image]  # an image and its mask of 0 and 255


def cells(number: int, side: int = 512) -> Pair:
    """A grey microscope image of bright cells on an uneven, noisy ground."""
    rng = np.random.default_rng(number)
    mask = Image.new("L", (side, side))
    for _ in range(12):
        x, y, a, b = (
            int(each) for each in (*rng.integers(0, side, 2), *rng.integers(side // 20, side // 9, 2))
        )
        ImageDraw.Draw(mask).ellipse((x - a, y - b, x + a, y + b), 255)
    ground = np.linspace(20, 60, side)[None] + rng.normal(0, 8, (side, side))
    image = np.asarray(mask.filter(ImageFilter.GaussianBlur(2))) * 0.5 + ground
    return Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)), mask


def photo(number: int) -> Pair:
    """A colour photo of one thing before a gradient; some are portraits, none has the size of another."""
    rng = np.random.default_rng(number)
    size = 200 + 3 * number, 140 + 2 * number
    width, height = size if number % 3 else size[::-1]
    mask = Image.new("L", (width, height))
    x, y, r = (int(each) for each in (*rng.integers(50, min(width, height) - 50, 2), rng.integers(25, 45)))
    ImageDraw.Draw(mask).ellipse((x - r, y - r, x + r, y + r // 2), 255)
    ground = np.linspace(60, 160, width)[None, :, None] + np.zeros((height, 1, 3))
    colour = np.array([200, 90, 30]) + rng.normal(0, 12, (height, width, 3))
    image = np.where(np.asarray(mask)[..., None] > 0, colour, ground)
    return Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)), mask


def save(own: Path, name: str, image: Image.Image, mask: Image.Image, **options: Any) -> None:
    for folder in ("images", "masks"):
        (own / folder).mkdir(parents=True, exist_ok=True)
    image.save(own / "images" / name, **options)
    mask.save((own / "masks" / name).with_suffix(".png"))


def microscope(own: Path) -> None:
    for number in range(COUNT):
        save(own, f"cell {number}.png", *cells(number))


def rotated_photos(own: Path) -> None:
    for number in range(COUNT):
        image, mask = photo(number)
        exif = Image.Exif()
        if number % 4 == 0:  # held upright, stored lying
            exif[0x0112] = 6
            image = image.transpose(Image.Transpose.ROTATE_90)
        save(own, f"IMG_{number}.jpg", image, mask, exif=exif)


def mixed_masks(own: Path) -> None:
    kinds: list[Callable[[Image.Image], Image.Image]] = [
        lambda mask: mask.point(lambda value: value // 255),
        lambda mask: mask,
        lambda mask: mask.convert("P"),
        lambda mask: Image.merge("RGBA", [mask, mask, mask, Image.new("L", mask.size, 255)]),
        lambda mask: mask.filter(ImageFilter.GaussianBlur(1)),
    ]
    for number in range(COUNT):
        image, mask = photo(number)
        save(own, f"{number}.png", image, kinds[number % 5](mask))


def deep(own: Path) -> None:
    for number in range(COUNT):
        image, mask = cells(number, 256)
        save(own, f"{number}.tif", Image.fromarray(np.asarray(image).astype(np.uint16) * 16), mask)


CASES = {
    "grey microscope images, no lists": (microscope, {}, ""),
    "photos of mixed sizes, some turned": (
        rotated_photos,
        {},
        "brought upright by their EXIF orientation: 6",
    ),
    "masks of five kinds": (mixed_masks, {}, "masks with more than two values: 4"),
    "16 bits": (deep, {"data__folder__white": 4095}, ""),
}


@pytest.mark.parametrize("case", CASES)
def test_from_a_folder_to_masks(
    case: str, project: Path, tmp_path: Path, states: Path, run_here: RunHere
) -> None:
    write, params, said = CASES[case]
    write(own := tmp_path / "own")
    set_params(project, data__source="folder", data__folder__path=str(own), data__limit=None, **params)
    set_params(project, image__size=64, model__width=4, train__epochs=20, train__batch_size=4, train__lr=0.01)
    downloaded = run_here(project, "stages.download")
    assert f"{COUNT} images, {COUNT} masks" in downloaded.stdout and said in downloaded.stdout
    for stage in ("split", "compute_stats", "train_unet", "train_resnet", "evaluate"):
        ended = run_here(project, f"stages.{stage}")
        assert ended.status == 0, ended.stderr
        assert "warning" not in ended.stdout.replace("warning: only 2 of the images choose", "")
    split = json.loads((project / "data/split.json").read_text())
    assert split["dropped"] == [] and len(split["test"]) == 5
    assert json.loads((project / "metrics/test.json").read_text())["unet"]["dice"] > 0.5
    white = ["--white", "4095"] if case == "16 bits" else []
    ended = run_here(project, "tools.predict", own / "images", *white)
    assert ended.status == 0 and f"{COUNT} of {COUNT} images" in ended.stdout
    overlap = [
        dice_of(project / "predictions" / f"{each.stem}.png", each) for each in (own / "masks").iterdir()
    ]
    assert np.mean(overlap) > 0.5


def dice_of(predicted: Path, mask: Path) -> float:
    found, true = (flat(Image.open(path)) for path in (predicted, mask))
    assert found.shape == true.shape
    return float(2 * (found & true).sum() / max(1, found.sum() + true.sum()))


def flat(image: Image.Image) -> NDArray[np.bool_]:
    values = np.asarray(ImageOps.exif_transpose(image))
    return (values if values.ndim == 2 else values[..., 0]) > 0


def test_a_constant_colour_channel(project: Path, tmp_path: Path, states: Path, run_here: RunHere) -> None:
    """Fluorescence in green alone: red and blue have no deviation to divide by."""
    for number in range(12):
        image, mask = cells(number, 128)
        black = Image.new("L", image.size)
        save(own := tmp_path / "own", f"{number}.png", Image.merge("RGB", [black, image, black]), mask)
    set_params(project, data__source="folder", data__folder__path=str(own), data__limit=None)
    for stage in ("download", "split", "compute_stats", "train_unet"):
        ended = run_here(project, f"stages.{stage}")
        assert ended.status == 0, ended.stderr
    assert "nan" not in (project / "metrics/plots/train_unet.csv").read_text()


def test_new_photos_of_16_bits_need_their_white_too(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_here: RunHere
) -> None:
    deep(own := tmp_path / "own")
    path = own / "images/3.tif"
    refused = run_here(finished, "tools.predict", path, "--out", tmp_path / "out")
    assert refused.status == 1 and "values up to" in refused.stderr and "--white" in refused.stderr
    ended = run_here(finished, "tools.predict", path, "--out", tmp_path / "out", "--white", "4095")
    assert ended.status == 0 and Image.open(tmp_path / "out/3.png").size == (256, 256)
    image = Image.fromarray(np.rint(np.asarray(Image.open(path)) * (255 / 4095)).astype(np.uint8))
    image.save(tmp_path / "same.png")
    run_here(finished, "tools.predict", tmp_path / "same.png", "--out", tmp_path / "out")
    assert (tmp_path / "out/same.png").read_bytes() == (tmp_path / "out/3.png").read_bytes()


def test_a_folder_that_vanishes_while_it_is_read(project: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    for number in range(400):
        image, mask = photo(number % 50)
        save(own, f"{number}.png", image, mask)
    set_params(project, data__source="folder", data__folder__path=str(own))
    before = {path: path.stat().st_mtime_ns for path in (project / "data/raw").rglob("*")}
    download = subprocess.Popen(
        [sys.executable, "-m", "stages.download"],
        cwd=project, env=dvc_environment(), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while not any(project.glob("data/.*/images/*")) and time.monotonic() < deadline:
        time.sleep(0.002)
    own.rename(tmp_path / "gone")
    _, stderr = download.communicate(timeout=60)
    assert download.returncode == 2 and stderr.count("\n") == 1, stderr
    assert f"{own}" in stderr and "cannot be read (No such file or directory)" in stderr
    assert {path: path.stat().st_mtime_ns for path in (project / "data/raw").rglob("*")} == before
    assert sorted(each.name for each in (project / "data").iterdir() if each.name[0] == ".") == [".gitignore"]


def test_a_path_that_the_parser_of_s_would_not_take(finished: Path, tmp_path: Path, states: Path) -> None:
    """As own_images.md types it: the grammar by which DVC reads -S knows few characters without quotes."""
    project, own = copied(finished, tmp_path), tmp_path / "été [1], (2)"
    microscope(own)
    typed = f'data.folder.path="{own}"'
    assert "LexerNoViableAlt" in dvc(project, "exp", "run", "-S", typed.replace('"', ""), status=255)
    said = dvc(project, "exp", "run", "-S", "data.source=folder", "-S", typed, "split")
    assert f"{COUNT} images, {COUNT} masks" in said
