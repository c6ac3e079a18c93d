"""Photos as phones save them, and transparent images: training and prediction see the same."""

import io
from pathlib import Path

import numpy as np
import pytest
from commands import RunHere
from own_folder import own_folder, photo, written
from photos import scene
from PIL import Image, ImageCms

from segmentation.common.image_io import image_size, is_image_file, read_image
from segmentation.prediction.cutout import cut_out
from segmentation.prediction.kinds import read_photo, write_kind

HIDDEN = 200, 30, 90  # a colour under full transparency


def saved(image: Image.Image, kind: str, **options: object) -> io.BytesIO:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer


def transparent(mode: str) -> Image.Image:
    """An image that is opaque on the left, half transparent in the middle, hiding a colour on the right."""
    if mode == "P":
        image = Image.fromarray(np.repeat([[0, 1, 2]], 4, axis=0).astype(np.uint8).repeat(10, axis=1))
        image.putpalette([10, 10, 10, 10, 10, 10, *HIDDEN])
        image.info["transparency"] = bytes([255, 128, 0])
        return image
    pixels = np.full((4, 30, 4), (10, 10, 10, 255), np.uint8)
    pixels[:, 10:20, 3] = 128
    pixels[:, 20:] = (*HIDDEN, 0)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_a_transparent_image_is_laid_on_white_in_training_and_prediction(mode: str) -> None:
    file = saved(transparent(mode), "PNG")
    trained, predicted = read_image(file), read_photo(file)
    np.testing.assert_array_equal(trained, predicted.image)
    assert (trained[:, :10] == 10).all() and (trained[:, 20:] == 255).all()
    assert (np.abs(trained[:, 10:20].astype(int) - (10 * 128 + 255 * 127) / 255) <= 1).all()


def test_an_opaque_image_with_alpha_is_what_it_is_without() -> None:
    opaque = Image.fromarray(scene(20, 30))
    np.testing.assert_array_equal(read_image(saved(opaque.convert("RGBA"), "PNG")), np.asarray(opaque))


def test_a_cutout_has_the_colours_under_half_transparency() -> None:
    """As a network sees it, white shines through: a cut-out would be too bright."""
    result, photo = io.BytesIO(), read_photo(saved(transparent("RGBA"), "PNG"))
    write_kind("cutout", photo, np.ones((4, 30), np.float32), 0.5, result)
    colors, alpha = np.asarray(transparent("RGBA"))[..., :3], np.asarray(transparent("RGBA"))[..., 3]
    np.testing.assert_array_equal(np.asarray(Image.open(result)), cut_out(colors, alpha))
    assert (photo.image != colors).any()


def test_transparent_images_are_said(tmp_path: Path, finished: Path, run_here: RunHere) -> None:
    own = own_folder(tmp_path / "own")
    for number, least in ((3, 0), (4, 255)):
        image = Image.open(own / f"images/{number}.png").convert("RGBA")
        image.putpixel((1, 1), (9, 9, 9, least))
        image.save(own / f"images/{number}.png")
    raw, said = written(own)
    assert f"images with transparent pixels, laid on white: 1, the first {own}/images/3.png" in said
    assert photo(raw, "3")[1, 1].tolist() == [255] * 3 and photo(raw, "4")[1, 1].tolist() == [9] * 3
    ended = run_here(finished, "tools.predict", own / "images", "--out", tmp_path / "out")
    assert "photos with transparent pixels, laid on white for the network: 1" in ended.stdout


@pytest.mark.parametrize("suffix", ["heic", "HEIF", "avif"])
def test_photos_of_phones_are_read_like_others(tmp_path: Path, suffix: str) -> None:
    image = Image.fromarray(scene(60, 80))
    path = tmp_path / f"phone.{suffix}"
    image.save(path, "AVIF" if suffix == "avif" else "HEIF", quality=90)
    assert is_image_file(path) and image_size(path) == (80, 60)
    assert np.abs(read_image(path).astype(int) - scene(60, 80)).mean() < 6


def test_heic_is_upright_by_itself() -> None:
    """libheif turns the pixels: turning them by EXIF once more would be wrong."""
    exif = Image.Exif()
    exif[0x0112] = 6
    file = saved(Image.fromarray(scene(60, 80)), "HEIF", exif=exif.tobytes(), quality=90)
    turned = read_photo(file).image
    assert turned.shape == (80, 60, 3) and np.array_equal(turned, read_image(file))
    assert np.abs(turned.astype(int) - np.rot90(scene(60, 80), -1)).mean() < 6


def test_heic_with_alpha_is_laid_on_white() -> None:
    found = read_image(saved(transparent("RGBA").resize((300, 40), 0), "HEIF", quality=95))
    assert found[20, 290].min() > 240 and found[20, 50].max() < 30


def test_heic_in_a_folder_and_in_a_prediction(tmp_path: Path, finished: Path, run_here: RunHere) -> None:
    own = own_folder(tmp_path / "own")
    path = own / "images/3.png"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.open(path).convert("RGB").save(path.with_suffix(".heic"), quality=90, icc_profile=profile)
    path.unlink()
    raw, said = written(own)
    assert said == "10 images, 10 masks" and photo(raw, "3").shape == (32, 64, 3)
    ended = run_here(finished, "tools.predict", own / "images/3.heic", "--out", tmp_path / "out")
    assert ended.status == 0 and Image.open(tmp_path / "out/3.png").size == (64, 32)
