"""`python -m tools.plan` on small folders and on real images."""

import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import RunHere
from own_folder import own_folder
from projects import ROOT, set_params

MEMBRANES = ROOT.parent / "shared/data/membranes-30"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml alone, and an empty one for temporary files in it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "here/temporary"))
    (tmp_path / "here/temporary").mkdir(parents=True)
    shutil.copy(ROOT / "params.yaml", tmp_path / "here")
    return tmp_path / "here"


def nothing_is_left(here: Path) -> bool:
    return sorted(path.name for path in here.rglob("*")) == ["params.yaml", "temporary"]


def folder_of_blobs(folder: Path, shape: tuple[int, int], sizes: list[int], images: int = 4) -> Path:
    """Images on a textured ground with ellipses whose longer axis is one of `sizes` pixels."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(images):
        rng = np.random.default_rng(number)
        image = cv2.resize(rng.integers(60, 160, (shape[0] // 10, shape[1] // 10, 3), np.uint8), shape[::-1])
        mask = np.zeros(shape, np.uint8)
        for size in sizes:
            place = [int(rng.integers(size // 2, side - size // 2)) for side in shape[::-1]]
            cv2.ellipse(mask, place, (size // 2, size * 2 // 5), float(rng.uniform(0, 180)), 0, 360, 255, -1)
        cv2.imwrite(str(folder / f"images/{number}.jpg"), np.where(mask[..., None] > 0, image // 2, image))
        cv2.imwrite(str(folder / f"masks/{number}.png"), mask)
    return folder


def test_small_objects_in_large_photos_ask_for_tiles(here: Path, run_here: RunHere, tmp_path: Path) -> None:
    own = folder_of_blobs(tmp_path / "my photos", (2000, 3000), list(range(12, 41, 2)))
    status, said, error = run_here(here, "tools.plan", own)
    assert (status, error) == (0, "") and nothing_is_left(here)
    *shown, line = said.splitlines()
    assert len(shown) < 24
    assert "4 of 4 images are usable: 3000x2000 to 3000x2000 pixels" in said
    assert "tiles: in whole images at 256 the objects are too small" in said
    assert line == (
        f"dvc exp run -S data.source=folder -S 'data.folder.path=\"{own}\"' -S image.fit=tiles"
        " -S image.size=128 -S image.scale=1 -S train.min_steps=1000 -S data.val_fraction=0.2"
    )
    rows = {row[:18].strip(): row for row in shown}
    assert rows["stretch 128"].endswith(" 100%") and rows["tiles scale 1"].endswith(" 0%")
    assert max(map(len, rows["stretch 128"])) <= 100


@pytest.mark.parametrize(
    ("shape", "sizes", "settings"),
    [
        ((300, 400), [120], "image.fit=stretch -S image.size=128 -S image.scale=1"),
        ((300, 400), [40], "image.fit=stretch -S image.size=256 -S image.scale=1"),
        ((200, 700), [120], "image.fit=pad -S image.size=128 -S image.scale=1"),
        ((1500, 2000), [60, 70, 80], "image.fit=tiles -S image.size=128 -S image.scale=0.25"),
    ],
)
def test_other_shapes_and_objects(
    here: Path, run_here: RunHere, tmp_path: Path, shape: tuple[int, int], sizes: list[int], settings: str
) -> None:
    ended = run_here(here, "tools.plan", folder_of_blobs(tmp_path / "own", shape, sizes))
    assert ended.status == 0 and settings in ended.stdout.splitlines()[-1]


def test_without_a_path_the_downloaded_dataset_is_measured(prepared: Path, run_here: RunHere) -> None:
    ended = run_here(prepared, "tools.plan")
    assert ended.status == 0 and "300 of 300 images are usable" in ended.stdout  # none of the 100 that test
    assert ended.stdout.splitlines()[-1].startswith("dvc exp run -S image.fit=stretch -S image.size=128")
    same = run_here(prepared, "tools.plan", "data/raw")
    assert same == ended


@pytest.mark.skipif(not MEMBRANES.is_dir(), reason="no real images here")
def test_membranes_ask_for_tiles(here: Path, run_here: RunHere) -> None:
    set_params(here, data__foreground=["background"])
    ended = run_here(here, "tools.plan", MEMBRANES)
    assert ended.status == 0
    assert "image.fit=tiles -S image.size=128 -S image.scale=1 " in ended.stdout.splitlines()[-1]


def test_images_that_are_unusable_are_said_and_left_out(
    here: Path, run_here: RunHere, tmp_path: Path
) -> None:
    own = own_folder(tmp_path / "own")
    (own / "masks/3.png").write_bytes(b"no image")
    shutil.copy(own / "masks/0.png", own / "masks/6.png")  # of another size
    ended = run_here(here, "tools.plan", own)
    assert ended.status == 0 and "8 of 10 images are usable" in ended.stdout
    assert "warning: not usable: mask 3: does not decode" in ended.stdout


def test_bad_input_is_refused_in_one_line(here: Path, run_here: RunHere, tmp_path: Path) -> None:
    empty, broken = own_folder(tmp_path / "empty"), own_folder(tmp_path / "broken")
    for number in range(10):
        blank = np.zeros_like(cv2.imread(str(empty / f"masks/{number}.png")))
        cv2.imwrite(str(empty / f"masks/{number}.png"), blank)
        (broken / f"masks/{number}.png").write_bytes(b"no image")
    for path, problem in (
        (tmp_path / "nowhere", "nowhere: no such folder"),
        (empty, "no image shows any of data.foreground = ['pet', 'border']; check the masks"),
        (broken, "none of 10 images is usable; the first: mask 0: does not decode"),
    ):
        status, _, error = run_here(here, "tools.plan", path)
        assert status == 2 and error.startswith("plan: error: ") and error.count("\n") == 1
        assert problem in error and nothing_is_left(here)
