"""Photos that EXIF turns, and masks that were drawn upright or on the pixels as they are stored."""

from pathlib import Path

import numpy as np
import pytest
from own_folder import own_folder, photo, turn, written
from PIL import Image

from segmentation.common.errors import InputError
from segmentation.common.geometry import Geometry
from segmentation.splitting.checks import check_dataset


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return own_folder(tmp_path / "own")


@pytest.mark.parametrize("tag", [5, 6, 7, 8])
def test_a_photo_is_turned_where_only_that_fits_its_mask(own: Path, tag: int) -> None:
    upright = turn(own, "0", tag)
    raw, said = written(own)
    assert "images brought upright by their EXIF orientation: 1, the first" in said
    np.testing.assert_array_equal(photo(raw, "0")[..., 0], np.asarray(upright))
    assert check_dataset(raw, ["pet"], Geometry(64))["0"].reason is None


def test_a_photo_whose_mask_was_drawn_as_it_is_stored_stays(own: Path) -> None:
    upright = turn(own, "0", 6)
    mask = Image.open(own / "masks/0.png").transpose(Image.Transpose.ROTATE_90)
    mask.save(own / "masks/0.png")
    raw, said = written(own)
    assert "upright" not in said and photo(raw, "0").shape[:2] == np.asarray(upright).shape[::-1]
    assert check_dataset(raw, ["pet"], Geometry(64))["0"].reason is None


@pytest.mark.parametrize(("name", "tag"), [("0", 3), ("0", 2), ("2", 6), ("2", 8)])
def test_where_both_fit_nothing_is_guessed(own: Path, name: str, tag: int) -> None:
    """Half a turn, a mirror, or a quarter turn of a square."""
    upright = turn(own, name, tag)
    with pytest.raises(
        InputError, match=rf"images/{name}\.png: its EXIF orientation \({tag}\).*fits both ways"
    ):
        written(own)
    for orientation in ("upright", "stored"):
        raw, _ = written(own, orientation=orientation)
        same = np.array_equal(photo(raw, name)[..., 0], np.asarray(upright))
        assert same == (orientation == "upright")


def test_nothing_is_guessed_in_a_subfolder_either(own: Path) -> None:
    for folder in (own / "images", own / "masks"):
        (folder / "more").mkdir()
        (folder / "2.png").rename(folder / "more/2.png")
    turn(own, "more/2", 6)
    with pytest.raises(InputError, match=r"images/more/2\.png: its EXIF orientation \(6\).*fits both ways"):
        written(own)


def stored_as_tiff(own: Path, name: str, tag: int, deep: bool = False) -> Image.Image:
    """Store an image as a TIFF that is to be turned; return it upright."""
    upright = turn(own, name, tag)
    path = own / f"images/{name}.png"
    with Image.open(path) as stored:
        pixels, exif = np.asarray(stored), stored.getexif()
    path.unlink()
    image = Image.fromarray(pixels.astype(np.uint16) * 16 if deep else pixels)
    image.save(path.with_suffix(".tif"), exif=exif)
    return upright


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("tag", [3, 6, 8])
def test_a_tiff_follows_the_same_rule(own: Path, tag: int, deep: bool) -> None:
    """Pillow turns a TIFF by itself."""
    upright = np.asarray(stored_as_tiff(own, "0", tag, deep))
    white = 16 * 255 if deep else None
    if tag == 3:
        with pytest.raises(InputError, match=r"0\.tif: its EXIF orientation \(3\).*fits both ways"):
            written(own, white=white)
    else:
        np.testing.assert_array_equal(photo(written(own, white=white)[0], "0")[..., 0], upright)
    np.testing.assert_array_equal(
        photo(written(own, orientation="upright", white=white)[0], "0")[..., 0], upright
    )
    turns = {3: 2, 6: 1, 8: 3}[tag]
    as_stored = photo(written(own, orientation="stored", white=white)[0], "0")[..., 0]
    np.testing.assert_array_equal(as_stored, np.rot90(upright, turns))


def test_a_deep_png_follows_the_same_rule(own: Path) -> None:
    turn(own, "2", 3)
    path = own / "images/2.png"
    with Image.open(path) as stored:
        deep, exif = np.asarray(stored).astype(np.uint16) * 16, stored.getexif()
    Image.fromarray(deep).save(path, exif=exif)
    with pytest.raises(InputError, match=r"2\.png: its EXIF orientation"):
        written(own, white=4095)
    upright, stored_ = (
        photo(written(own, white=4080, orientation=way)[0], "2")[..., 0] for way in ("upright", "stored")
    )
    np.testing.assert_array_equal(upright, np.rot90(stored_, 2))
