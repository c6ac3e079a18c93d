"""The files of a person's folder: images of 16 bits, broken ones, names; and what is said about them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import RunHere
from own_folder import change_masks, own_folder, photo, turn, written
from PIL import Image
from projects import set_params

from segmentation.common.errors import Fault, InputError
from segmentation.common.geometry import Geometry
from segmentation.splitting.checks import check_dataset, describe


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return own_folder(tmp_path / "own")


def test_what_was_found_is_said(own: Path) -> None:
    raw, said = written(own)
    assert said == "10 images, 10 masks"
    lines = describe(check_dataset(raw, ["pet"], Geometry(64)))
    assert lines[0] == "10 of 10 images are usable: 64x32 to 40x60 pixels, median 48x48"
    assert "share of pixels that are not background: median 0." in lines[1] and len(lines) == 2


def test_sixteen_bits_need_their_white(own: Path) -> None:
    for number in (1, 4):
        path = own / f"images/{number}.png"
        deep = np.asarray(Image.open(path)).astype(np.uint16) * 16
        path.unlink()
        Image.fromarray(deep).save(path.with_suffix(".tif"))
    largest = int(deep.max())
    with pytest.raises(
        InputError, match=r"images/1\.tif: has more than 8 bits.*2 such images.*data\.folder\.white"
    ):
        written(own)
    raw, _ = written(own, white=4095)
    expected = np.clip(np.rint(deep * (255 / 4095)), 0, 255)
    np.testing.assert_array_equal(photo(raw, "4")[..., 0], expected)
    assert photo(raw, "4").shape == (64, 32, 3) and largest > 255
    assert all(pair.reason is None for pair in check_dataset(raw, ["pet"], Geometry(64)).values())


def test_a_photo_cut_short_is_left_to_the_split(own: Path) -> None:
    turn(own, "0", 6)
    path = own / "images/0.png"
    path.write_bytes(path.read_bytes()[:-400])
    raw, _ = written(own)
    assert "does not decode" in (check_dataset(raw, ["pet"], Geometry(64))["0"].reason or "")


def test_the_largest_value_is_said_beside_the_white(own: Path) -> None:
    path = own / "images/1.png"
    deep = np.asarray(Image.open(path)).astype(np.uint16) * 16
    Image.fromarray(deep).save(path)
    for white in (255, 4095, 65535):
        said = written(own, white=white)[1]
        assert f"largest value {deep.max()}, data.folder.white = {white} becomes 255" in said


def test_what_has_no_partner_is_named_by_its_own_name(own: Path) -> None:
    (own / "masks/4.png").unlink()
    (own / "images/5.png").unlink()
    (own / "images/Thumbs.db").touch()
    said = written(own)[1]
    assert f"warning: images without a mask: 1, the first {own}/images/4.png" in said
    assert f"warning: masks without an image: 1, the first {own}/masks/5.png" in said
    for path in list((own / "masks").iterdir()):
        path.rename(path.with_stem(f"{path.stem}_cells"))
    with pytest.raises(InputError, match=r"no image has a mask of the same name; .*0_cells\.png"):
        written(own)


@pytest.mark.parametrize("name", ["#1", "a "])
def test_names_that_a_list_cannot_hold_are_refused(own: Path, name: str) -> None:
    (own / "images/0.png").rename(own / f"images/{name}.png")
    with pytest.raises(InputError, match="cannot be written in a list; rename it"):
        written(own)


def test_the_stages_say_it(own: Path, project: Path, run_here: RunHere) -> None:
    turn(own, "0", 6)
    change_masks(own, lambda mask: 255 - mask)
    set_params(project, data__source="folder", data__folder__path=str(own))
    downloaded = run_here(project, "stages.download")
    assert downloaded.status == 0 and "10 images, 10 masks" in downloaded.stdout
    assert "images brought upright by their EXIF orientation: 1, the first" in downloaded.stdout
    split = run_here(project, "stages.split")
    assert (
        "10 of 10 images are usable" in split.stdout and "if they are inverted, invert them" in split.stdout
    )
    turn(own, "2", 3)
    refused = run_here(project, "stages.download")
    assert refused.status == 2 and refused.stderr.count("\n") == 1 and "fits both ways" in refused.stderr


def test_white_applies_to_colour_as_to_grey(own: Path) -> None:
    before = photo(written(own)[0], "4")
    deep = np.clip(before.astype(np.uint16) * 16, 0, 4095)[..., ::-1]  # cv2 has the channels in reverse
    cv2.imwrite(str(own / "images/4.png"), deep)
    raw, said = written(own)
    assert "warning: colour images with 16 bits per channel, reduced" in said
    assert photo(raw, "4").max() <= 16
    raw, said = written(own, white=4095)
    assert "warning" not in said and "data.folder.white = 4095 becomes 255" in said
    assert np.abs(photo(raw, "4").astype(int) - before).max() <= 1


@pytest.mark.parametrize("place", ["images", "masks"])
def test_an_error_of_the_disk_drops_no_image(own: Path, place: str) -> None:
    """Reading /proc/self/mem at its start is what a bad disk is: EIO."""
    (own / f"{place}/3.png").unlink()
    (own / f"{place}/3.png").symlink_to("/proc/self/mem")
    with pytest.raises(Fault, match=rf"{place}/3\.png: cannot be read \(Input/output error\)"):
        written(own)
