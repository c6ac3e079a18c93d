"""`python -m tools.predict`: what it writes, what it refuses, and that an interrupted run resumes."""

import csv
import dataclasses
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import RunHere
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from segmentation.inference.predictor import Predictor
from segmentation.models.checkpoints import load_checkpoint

UPRIGHT = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}  # tag: the transposition that undoes it, as a tag


def scene(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """A smooth colour image."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def save(path: Path, image: NDArray[np.uint8], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)
    return path


def pixels(path: Path) -> NDArray[Any]:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photos of different sizes."""
    for number, size in enumerate([(60, 90), (90, 60), (33, 33)]):
        save(tmp_path / f"photos/{'sub/' * (number == 2)}{number}.png", scene(*size, seed=number))
    return tmp_path / "photos"


def predictor(finished: Path, name: str = "unet") -> Predictor:
    return Predictor.load(finished / f"checkpoints/{name}.pt")


def test_masks_in_the_photos_own_sizes(
    finished: Path, photos: Path, tmp_path: Path, run_here: RunHere
) -> None:
    out = tmp_path / "out"
    ended = run_here(finished, "tools.predict", photos, "--out", out, "--model", "unet")
    assert ended.status == 0 and f"3 of 3 images to {out}/" in ended.stdout
    assert "checkpoints/unet.pt, threshold 0.5\n" in ended.stdout
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


@pytest.mark.parametrize("tag", [1, *UPRIGHT])
def test_exif_orientation_is_applied(tag: int, finished: Path, tmp_path: Path, run_here: RunHere) -> None:
    """A photo stored turned, with a tag that turns it back, is the photo."""
    upright = Image.fromarray(scene(50, 80))
    stored = upright.copy()
    if tag in UPRIGHT:
        exif = stored.getexif()
        exif[0x0112] = UPRIGHT[tag]
        stored = ImageOps.exif_transpose(stored)
    exif = Image.Exif()
    exif[0x0112] = tag
    stored.save(tmp_path / "turned.png", exif=exif)
    upright.save(tmp_path / "upright.png")
    out = tmp_path / "out"
    arguments = ["--model", "unet", "--out", out, "--kind", "probability", "overlay"]
    names = [tmp_path / "turned.png", tmp_path / "upright.png"]
    assert run_here(finished, "tools.predict", *names, *arguments).status == 0
    for kind in ("probability", "overlay"):
        turned, expected = (pixels(out / f"{name}.{kind}.png") for name in ("turned", "upright"))
        np.testing.assert_array_equal(turned, expected)
        assert expected.shape[:2] == (50, 80)


@pytest.mark.parametrize("size", [(50, 80), (131, 97), (32, 32)])
def test_a_mirrored_photo_gives_the_mirrored_mask(
    size: tuple[int, int], finished: Path, tmp_path: Path, run_here: RunHere
) -> None:
    """With flip averaging the network takes no side: what is left over is where pixels were put."""
    save(tmp_path / "a.png", scene(*size))
    save(tmp_path / "b.png", scene(*size)[:, ::-1])
    arguments = [tmp_path / "a.png", tmp_path / "b.png", "--tta", "flip", "--kind", "mask", "probability"]
    assert run_here(finished, "tools.predict", *arguments, "--out", tmp_path / "out").status == 0
    probability, mirrored = (
        pixels(tmp_path / f"out/{name}.probability.png").astype(float) / 65535 for name in "ab"
    )
    np.testing.assert_allclose(mirrored[:, ::-1], probability, atol=5e-3)  # rounding of the resized photo
    masks = [pixels(tmp_path / f"out/{name}.png") for name in "ab"]
    assert (masks[1][:, ::-1] == masks[0]).mean() > 0.99


def test_flip_averaging_is_the_mean_with_the_mirrored_photo(finished: Path) -> None:
    image = scene(64, 48)
    plain = predictor(finished)
    (mean,) = dataclasses.replace(plain, tta="flip").probabilities([image])
    (one,), (other,) = plain.probabilities([image]), plain.probabilities([image[:, ::-1].copy()])
    np.testing.assert_allclose(mean, (one + other[:, ::-1]) / 2, atol=2e-3)


def test_the_threshold_can_be_chosen(finished: Path, photos: Path, tmp_path: Path, run_here: RunHere) -> None:
    areas = []
    for threshold in ("0.01", "0.99"):
        out = tmp_path / threshold
        arguments = [photos, "--out", out, "--threshold", threshold, "--model", "unet"]
        assert f"threshold {threshold}" in run_here(finished, "tools.predict", *arguments).stdout
        areas.append(sum((pixels(path) == 255).mean() for path in out.rglob("*.png")))
    assert areas[0] > areas[1]


def test_the_profile_of_a_photo_is_kept(finished: Path, tmp_path: Path, run_here: RunHere) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    save(tmp_path / "rgb.jpg", scene(40, 50), icc_profile=profile)
    Image.fromarray(scene(40, 50)).convert("L").save(tmp_path / "grey.png", icc_profile=grey_profile(profile))
    kinds = ["mask", "cutout", "overlay"]
    arguments = [tmp_path / "rgb.jpg", tmp_path / "grey.png", "--kind", *kinds, "--out", tmp_path / "out"]
    assert run_here(finished, "tools.predict", *arguments).status == 0
    kept = {path.name: Image.open(path).info.get("icc_profile") for path in (tmp_path / "out").iterdir()}
    assert {name for name, value in kept.items() if value} == {"rgb.cutout.png", "rgb.overlay.png"}
    assert kept["rgb.cutout.png"] == profile


def grey_profile(profile: bytes) -> bytes:
    """A profile that says to be for grey: it must not be put on RGB."""
    return profile[:16] + b"GRAY" + profile[20:]


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK"])
def test_any_mode(mode: str, finished: Path, tmp_path: Path, run_here: RunHere) -> None:
    path = tmp_path / ("photo.tif" if mode == "CMYK" else "photo.png")
    Image.fromarray(scene(40, 50)).convert(mode).save(path)
    kinds = ["--kind", "mask", "cutout"]
    assert run_here(finished, "tools.predict", path, *kinds, "--out", tmp_path / "out").status == 0
    assert pixels(tmp_path / "out/photo.cutout.png").shape == (40, 50, 4)


def test_damaged_exif_costs_nothing_but_itself(finished: Path, tmp_path: Path, run_here: RunHere) -> None:
    Image.fromarray(scene(40, 50)).save(tmp_path / "a.png", exif=b"Exif\0\0no exif at all")
    ended = run_here(finished, "tools.predict", tmp_path / "a.png", "--out", tmp_path / "out")
    assert (ended.status, ended.stderr) == (0, "") and pixels(tmp_path / "out/a.png").shape == (40, 50)


def test_a_name_that_cannot_be_printed(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    save(folder / "a.png", scene(40, 50))
    (folder / "\udcff.heic").write_bytes(b"")
    (folder / "\udcfe.jpg").write_bytes(b"broken")
    ended = subprocess.run(
        [sys.executable, "-m", "tools.predict", folder, "--out", tmp_path / "out"],
        cwd=finished, env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"}, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 1 and "Traceback" not in ended.stderr and r"\udcff.heic" in ended.stdout
    assert b"\xfe.jpg" in (tmp_path / "out/errors.csv").read_bytes()


def test_the_users_own_table_is_kept(finished: Path, photos: Path, tmp_path: Path, run_here: RunHere) -> None:
    (tmp_path / "errors.csv").write_text("mine")
    assert run_here(finished, "tools.predict", photos / "0.png", "--out", tmp_path).status == 0
    assert (tmp_path / "errors.csv").read_text() == "mine"


def test_what_exists_is_skipped_and_force_replaces_it(
    finished: Path, photos: Path, tmp_path: Path, run_here: RunHere
) -> None:
    out = tmp_path / "out"
    arguments = [photos, "--out", out, "--model", "unet"]
    run_here(finished, "tools.predict", *arguments)
    (out / "0.png").write_bytes(b"mine")
    (out / "1.png").unlink()
    ended = run_here(finished, "tools.predict", *arguments)
    assert "1 of 3 images" in ended.stdout and "2 skipped, as files of these names exist" in ended.stdout
    assert (out / "0.png").read_bytes() == b"mine" and pixels(out / "1.png").shape == (90, 60)
    more = run_here(finished, "tools.predict", *arguments, "--kind", "mask", "overlay")
    assert "3 of 3 images" in more.stdout and (out / "0.png").read_bytes() == b"mine"
    forced = run_here(finished, "tools.predict", *arguments, "--force")
    assert "3 of 3 images" in forced.stdout and pixels(out / "0.png").shape == (60, 90)


def test_a_broken_photo_is_named_and_the_others_are_done(
    finished: Path, photos: Path, tmp_path: Path, run_here: RunHere
) -> None:
    out, whole = tmp_path / "out", (photos / "0.png").read_bytes()
    (photos / "broken.png").write_bytes(whole[: len(whole) // 2])
    (photos / "text.jpg").write_text("no photo")
    (photos / "phone.heic").write_bytes(b"")
    ended = run_here(finished, "tools.predict", photos, "--out", out, "--batch", 2)
    assert ended.status == 1 and "3 of 5 images" in ended.stdout
    assert "HEIC files passed over: 1" in ended.stdout and "phone.heic" in ended.stdout
    lines = [line for line in ended.stderr.splitlines() if line.startswith("predict: ")]
    assert len(lines) == 3 and "Traceback" not in ended.stderr
    assert "broken.png" in lines[0] and "text.jpg" in lines[1]
    assert lines[2].startswith("predict: error: 2 of 5 images could not be read") and "errors.csv" in lines[2]
    rows = list(csv.reader((out / "errors.csv").open()))
    assert rows[0] == ["image", "error"]
    assert [row[0] for row in rows[1:]] == [str(photos / name) for name in ("broken.png", "text.jpg")]
    assert all(row[1].startswith("does not decode as an image") for row in rows[1:])
    (photos / "broken.png").write_bytes(whole)
    (photos / "text.jpg").unlink()
    mended = run_here(finished, "tools.predict", photos, "--out", out)
    assert mended.status == 0 and "1 of 4 images" in mended.stdout and not (out / "errors.csv").exists()


def test_three_shards_at_once_give_what_one_run_gives(finished: Path, tmp_path: Path) -> None:
    for number in range(7):
        save(tmp_path / f"photos/{number}.jpg", scene(40, 50 + number, seed=number))
    (tmp_path / "photos/broken.jpg").write_bytes(b"")
    command = [sys.executable, "-m", "tools.predict", str(tmp_path / "photos"), "--out"]
    array = {"SLURM_ARRAY_TASK_MIN": "4", "SLURM_ARRAY_TASK_COUNT": "3"}
    shards = [
        subprocess.Popen(
            [*command, str(tmp_path / "shards")], cwd=finished, env=os.environ | environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for environment in [{"SLURM_ARRAY_TASK_ID": str(4 + index)} | array for index in range(3)]
    ]  # fmt: skip
    said = [shard.communicate(timeout=300) for shard in shards]
    assert sorted(shard.returncode for shard in shards) == [0, 0, 1], said
    one = subprocess.run([*command, str(tmp_path / "one")], cwd=finished, capture_output=True, text=True)
    assert one.returncode == 1
    results = [
        {path.name: path.read_bytes() for path in (tmp_path / out).glob("*.png")} for out in ("shards", "one")
    ]
    assert results[0] == results[1] and len(results[1]) == 7
    errors = list((tmp_path / "shards").glob("errors-*-of-3.csv"))
    assert len(errors) == 1 and errors[0].read_text() == (tmp_path / "one/errors.csv").read_text()


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


def test_of_a_checkpoint_without_its_score_nobody_knows(
    finished: Path, photos: Path, tmp_path: Path, run_here: RunHere
) -> None:
    project = tmp_path / "project"
    shutil.copytree(finished / "checkpoints", project / "checkpoints")
    old = Path(__file__).parents[1] / "fixtures/unet_format_1.pt"
    shutil.copy(old, project / "checkpoints/unet.pt")
    ended = run_here(project, "tools.predict", photos)
    assert ended.status == 2 and "--model" in ended.stderr and ended.stderr.count("\n") == 1
    assert run_here(project, "tools.predict", photos, "--model", "unet").status == 0
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


def test_interrupted_it_leaves_whole_files_and_resumes(finished: Path, tmp_path: Path) -> None:
    image = scene(600, 800)
    for number in range(60):
        save(tmp_path / f"photos/{number}.jpg", image)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "tools.predict", str(tmp_path / "photos"), "--out", str(out)]
    process = subprocess.Popen(
        command, cwd=finished, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not out.exists() or not any(out.glob("*.png")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in stderr
    assert stderr.splitlines()[-1] == "predict: stopped by SIGINT; run it again"
    done = list(out.iterdir())
    assert 0 < len(done) < 60 and all(pixels(path).shape == (600, 800) for path in done)
    again = subprocess.run(command, cwd=finished, capture_output=True, text=True)
    assert again.returncode == 0 and f"{60 - len(done)} of 60 images" in again.stdout
    assert len({path.read_bytes() for path in out.iterdir()}) == 1


@pytest.mark.slow
def test_a_hundred_megapixels_in_two_gibibytes(finished: Path, tmp_path: Path) -> None:
    photo = save(tmp_path / "large.jpg", scene(8_660, 11_550))
    kinds = ["mask", "cutout", "overlay", "probability"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.predict", photo, "--out", tmp_path / "out", "--kind", *kinds],
        cwd=finished,
    )
    _, status, usage = os.wait4(process.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert usage.ru_maxrss < 2 * 1024**2  # KiB
    assert Image.open(tmp_path / "out/large.cutout.png").size == (11_550, 8_660)
