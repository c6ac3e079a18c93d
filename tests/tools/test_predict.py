"""`python -m tools.predict`: what it writes, with which network, and what it refuses."""

import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import RunHere
from photos import pixels, predictor, three_photos
from PIL import Image

from segmentation.models.checkpoints import load_checkpoint


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return three_photos(tmp_path)


def test_masks_in_the_photos_own_sizes(
    finished: Path, photos: Path, tmp_path: Path, run_here: RunHere
) -> None:
    out = tmp_path / "out"
    ended = run_here(finished, "tools.predict", photos, "--out", out, "--model", "unet")
    assert ended.status == 0 and f"3 of 3 images to {out}/" in ended.stdout
    threshold = predictor(finished).threshold
    assert f"checkpoints/unet.pt, threshold {threshold:g}\n" in ended.stdout
    written = sorted(path for path in out.rglob("*") if path.is_file())
    assert [str(path.relative_to(out)) for path in written] == ["0.png", "1.png", "sub/2.png"]
    for path in written:
        mask = pixels(path)
        expected = predictor(finished).mask(np.asarray(Image.open(photos / path.relative_to(out))))
        np.testing.assert_array_equal(mask, 255 * expected)
        assert mask.dtype == np.uint8


def test_every_kind(finished: Path, photos: Path, tmp_path: Path, run_here: RunHere) -> None:
    out, photo = tmp_path / "out", photos / "0.png"
    image = pixels(photo)
    (probability,) = predictor(finished).probabilities([image])
    arguments = ["--model", "unet", "--out", out, "--threshold", np.median(probability)]  # half of the pixels
    kinds = ["mask", "cutout", "overlay", "probability"]
    assert run_here(finished, "tools.predict", *arguments, "--kind", *kinds, photo).status == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "0.cutout.png", "0.overlay.png", "0.png", "0.probability.png"
    ]  # fmt: skip
    stored = pixels(out / "0.probability.png").astype(np.float64) / 65535
    assert Image.open(out / "0.probability.png").mode == "I;16"
    np.testing.assert_allclose(stored, probability, atol=0.6 / 65535)
    cutout = pixels(out / "0.cutout.png")
    assert cutout.shape == (60, 90, 4)
    np.testing.assert_allclose(cutout[..., 3], 255 * probability, atol=0.51)
    overlay, mask = pixels(out / "0.overlay.png"), pixels(out / "0.png")
    assert overlay.shape == (60, 90, 3)
    outlined = (overlay != image).any(-1) & (overlay != image // 3).any(-1)
    assert 0 < outlined.mean() < 0.5 and 0.2 < (mask == 255).mean() < 0.8
    np.testing.assert_array_equal((overlay == image).all(-1)[~outlined], (mask == 255)[~outlined])


def test_the_threshold_can_be_chosen(finished: Path, photos: Path, tmp_path: Path, run_here: RunHere) -> None:
    areas = []
    for threshold in ("0.01", "0.99"):
        out = tmp_path / threshold
        arguments = [photos, "--out", out, "--threshold", threshold, "--model", "unet"]
        assert f"threshold {threshold}" in run_here(finished, "tools.predict", *arguments).stdout
        areas.append(sum((pixels(path) == 255).mean() for path in out.rglob("*.png")))
    assert areas[0] > areas[1]


def test_one_image_through_a_pipe(finished: Path, photos: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tools.predict", "-", "--model", "unet"]
    given = (photos / "0.png").read_bytes()
    ended = subprocess.run(command, cwd=finished, input=given, capture_output=True)
    assert ended.returncode == 0 and ended.stderr == b""
    mask = np.asarray(Image.open(io.BytesIO(ended.stdout)))
    expected = predictor(finished).mask(np.asarray(Image.open(photos / "0.png")))
    np.testing.assert_array_equal(mask, 255 * expected)
    broken = subprocess.run(command, cwd=finished, input=b"nothing", capture_output=True)
    assert (broken.returncode, broken.stdout) == (2, b"") and broken.stderr.count(b"\n") == 1


def test_the_better_network_predicts(finished: Path, photos: Path, tmp_path: Path, run_here: RunHere) -> None:
    dice = {}
    for name in ("unet", "resnet"):
        dice[name] = load_checkpoint(finished / f"checkpoints/{name}.pt").meta.val_dice
    assert None not in dice.values()
    better = max(dice, key=lambda name: dice[name] or 0)
    ended = run_here(finished, "tools.predict", photos, "--out", tmp_path / "out")
    assert ended.stdout.startswith(f"checkpoints/{better}.pt")


def test_a_checkpoint_without_its_score_can_be_compared(
    finished: Path, photos: Path, tmp_path: Path, run_here: RunHere
) -> None:
    project = tmp_path / "project"
    shutil.copytree(finished / "checkpoints", project / "checkpoints")
    old = Path(__file__).parents[1] / "fixtures/unet_format_1.pt"
    shutil.copy(old, project / "checkpoints/unet.pt")
    ended = run_here(project, "tools.predict", photos)
    assert ended.status == 0
    assert len(list((project / "predictions").rglob("*.png"))) == 3  # the default folder
    (project / "checkpoints/resnet.pt").unlink()
    assert run_here(project, "tools.predict", photos).status == 0  # there is no choice


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "no image named"),
        (["nothing.jpg"], "nothing.jpg: no such file"),
        (["empty"], "no images were found"),
        (["photos", "--model", "vgg"], "--model vgg: no network"),
        (["photos", "--checkpoint", "none.pt"], "none.pt: no such checkpoint"),
        (["photos", "--checkpoint", "none.onnx"], "none.onnx: no such file"),
        (["photos", "--checkpoint", "photos/0.png"], "not a checkpoint"),
        (["photos", "--model", "unet", "--checkpoint", "x.pt"], "not allowed with"),
        (["photos", "--threshold", "1.5"], "allowed: a number > 0 and < 1"),
        (["photos", "--threshold", "nan"], "allowed: a number > 0 and < 1"),
        (["photos", "--batch", "0"], "allowed: a whole number"),
        (["photos", "--kind", "maks"], "--kind maks: no such kind"),
        (["photos", "--shard", "3/3"], "0 <= I < N"),
        (["photos", "--out", "photos/masks"], "lies in the input folder"),
        (["-", "--kind", "mask", "cutout"], "choose one --kind"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], problem: str, finished: Path, photos: Path, tmp_path: Path, run_here: RunHere
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "checkpoints").symlink_to(finished / "checkpoints")
    ended = run_here(tmp_path, "tools.predict", *arguments)
    assert ended.status == 2 and problem in ended.stderr, ended
    assert ended.stderr.startswith("predict: error: ") and ended.stderr.count("\n") == 1
    assert not (tmp_path / "predictions").exists()
