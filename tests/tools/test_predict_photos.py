"""`python -m tools.predict` on photos turned, mirrored, of any mode, damaged or large."""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import RunHere
from photos import pixels, predictor, save, scene
from PIL import Image, ImageCms, ImageOps

from segmentation.common.cores import usable_cores
from segmentation.prediction.kinds import read_photo

UPRIGHT = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}  # tag: the transposition that undoes it, as a tag


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


def test_a_cutout_never_shows_what_was_transparent(finished: Path, tmp_path: Path, run_here: RunHere) -> None:
    photo = np.dstack([scene(60, 80), np.linspace(0, 255, 60 * 80).reshape(60, 80).astype(np.uint8)])
    save(tmp_path / "photo.png", photo)
    save(tmp_path / "opaque.png", read_photo(tmp_path / "photo.png").image)
    arguments = ["--out", tmp_path / "out", "--kind", "cutout"]
    assert run_here(finished, "tools.predict", *arguments, *tmp_path.glob("*.png")).status == 0
    cutout, opaque = (pixels(tmp_path / f"out/{name}.cutout.png") for name in ("photo", "opaque"))
    np.testing.assert_array_equal(cutout[..., 3], np.minimum(opaque[..., 3], photo[..., 3]))
    assert (cutout[..., 3] < opaque[..., 3]).any()


def test_names_that_differ_only_by_suffix_keep_it(finished: Path, tmp_path: Path, run_here: RunHere) -> None:
    for suffix in ("gif", "webp"):
        save(tmp_path / f"photos/anim.{suffix}", scene(30, 40))
    save(tmp_path / "photos/other.jpg", scene(30, 40))
    (tmp_path / "photos/several.mpo").write_bytes((tmp_path / "photos/other.jpg").read_bytes())
    (tmp_path / "photos/notes.txt").write_text("no photo")
    ended = run_here(finished, "tools.predict", tmp_path / "photos", "--out", tmp_path / "out")
    assert ended.status == 0 and "4 of 4 images" in ended.stdout
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["anim.gif.png", "anim.webp.png", "other.png", "several.png"]
    again = run_here(finished, "tools.predict", tmp_path / "photos", "--out", tmp_path / "out")
    assert "4 skipped" in again.stdout


def test_the_processor_is_used_as_in_training(finished: Path, tmp_path: Path, run_here: RunHere) -> None:
    """torch starts with a thread for each core that it sees, and computes denormal numbers slowly."""
    save(tmp_path / "photo.png", scene(30, 40))
    threads = torch.get_num_threads()
    torch.set_num_threads(64)
    try:
        run_here(finished, "tools.predict", tmp_path / "photo.png", "--out", tmp_path / "out")
        assert torch.get_num_threads() <= usable_cores()
        assert (torch.tensor([1e-39]) * 1).item() == 0
    finally:
        torch.set_num_threads(threads)


def test_tilde_is_the_home_folder(
    finished: Path, tmp_path: Path, run_here: RunHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    save(tmp_path / "photo.png", scene(30, 40))
    shutil.copy(finished / "checkpoints/unet.pt", tmp_path)
    arguments = ["--out=~/out", "--checkpoint=~/unet.pt", "~/*.png"]
    assert run_here(finished, "tools.predict", *arguments).status == 0
    assert (tmp_path / "out/photo.png").exists()
