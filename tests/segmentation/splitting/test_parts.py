import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from projects import checked_split

from segmentation.common import dataset_layout as layout
from segmentation.common.errors import InputError
from segmentation.splitting.parts import evenly_spaced

TRAINVAL, TEST = [f"a_{i}" for i in range(25)], [f"b_{i}" for i in range(5)]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A dataset of 30 tiny images, each with all three parts in its trimap."""
    (tmp_path / layout.IMAGES).mkdir()
    (tmp_path / layout.TRIMAPS).mkdir(parents=True)
    for i, name in enumerate(TRAINVAL + TEST):
        Image.new("RGB", (12, 8), (i, 0, 0)).save(layout.image_path(tmp_path, name))
        trimap = np.tile(np.array([1, 2, 3], np.uint8), (8, 4))
        Image.fromarray(trimap).save(layout.trimap_path(tmp_path, name))
    write_lists(tmp_path, TRAINVAL, TEST)
    return tmp_path


def write_lists(raw: Path, trainval: list[str], test: list[str]) -> None:
    for path, ids in ((layout.TRAINVAL, trainval), (layout.TEST, test)):
        (raw / path).write_text("# comment\n" + "".join(f"{name} 1 2 3\n" for name in ids))


def test_every_tenth_line_validates(raw: Path) -> None:
    split = checked_split(raw, val_fraction=0.1, limit=None, max_dropped=0)
    assert split["val"] == ["a_0", "a_10", "a_20"]
    assert split["train"] == [name for i, name in enumerate(TRAINVAL) if i % 10]
    assert split["test"] == TEST and split["dropped"] == []


def test_the_lab_reports_split_sizes() -> None:
    marks = evenly_spaced(3680, 0.1)
    assert sum(marks) == 368
    assert marks == [index % 10 == 0 for index in range(3680)]


@pytest.mark.parametrize("share", [0.05, 0.2, 0.25, 0.3, 1 / 3, 0.9])
def test_evenly_spaced_marks_the_share(share: float) -> None:
    marks = evenly_spaced(1000, share)
    assert marks[0] and abs(sum(marks) - 1000 * share) <= 1
    gaps = np.diff(np.flatnonzero(marks))
    assert gaps.max() - gaps.min() <= 1


def test_indices_count_before_anything_is_dropped(raw: Path) -> None:
    layout.image_path(raw, "a_3").unlink()
    split = checked_split(raw, 0.1, None, max_dropped=0.1)
    assert split["val"] == ["a_0", "a_10", "a_20"] and "a_3" not in split["train"]


def test_limit_takes_evenly_spaced_training_images(raw: Path) -> None:
    full, some = checked_split(raw, 0.1, None, 0), checked_split(raw, 0.1, 4, 0)
    assert some["train"] == [full["train"][i] for i in (0, 5, 11, 16)]
    assert some["val"] == full["val"] and some["test"] == full["test"]
    assert checked_split(raw, 0.1, 1000, 0) == full


def test_the_hash_covers_images_masks_and_their_roles(raw: Path) -> None:
    hashes = [checked_split(raw, 0.1, None, 0)["sha256"], checked_split(raw, 0.1, 4, 0)["sha256"]]
    Image.new("RGB", (12, 8), (0, 255, 0)).save(layout.image_path(raw, "b_1"))
    hashes.append(checked_split(raw, 0.1, None, 0)["sha256"])
    Image.fromarray(np.ones((8, 12), np.uint8)).save(layout.trimap_path(raw, "a_1"))
    hashes.append(checked_split(raw, 0.1, None, 0)["sha256"])
    assert len(set(hashes)) == 4
    assert checked_split(raw, 0.1, None, 0)["sha256"] == hashes[-1]


def spoil(raw: Path, how: str) -> None:
    image, trimap = layout.image_path(raw, "a_7"), layout.trimap_path(raw, "a_7")
    if how == "no image":
        image.unlink()
    elif how == "no trimap":
        trimap.unlink()
    elif how == "text for a image":
        image.write_text("hello")
    elif how == "empty image":
        image.write_bytes(b"")
    elif how == "cut image":
        image.write_bytes(image.read_bytes()[:-150])
    elif how == "cut trimap":
        trimap.write_bytes(trimap.read_bytes()[:45])
    elif how == "16 bit image":
        Image.fromarray(np.full((8, 12), 4000, np.uint16)).save(image, "PNG")
    elif how == "other size":
        Image.fromarray(np.ones((12, 8), np.uint8)).save(trimap)
    elif how == "other values":
        Image.fromarray(np.full((8, 12), 255, np.uint8)).save(trimap)
    elif how == "colour trimap":
        Image.new("RGB", (12, 8)).save(trimap)
    elif how == "16 bit trimap":
        Image.fromarray(np.ones((8, 12), np.uint16)).save(trimap)


REASONS = {
    "no image": r"image a_7: no such file",
    "no trimap": r"mask a_7: no such file",
    "text for a image": r"image a_7: does not decode",
    "empty image": r"image a_7: does not decode",
    "cut image": r"image a_7: does not decode",
    "16 bit image": r"image a_7: has more than 8 bits",
    "cut trimap": r"mask a_7: does not decode",
    "other size": r"image a_7 is 12x8, its mask 8x12",
    "other values": r"mask a_7: a trimap contains only 1, 2 and 3, not 255",
    "colour trimap": r"mask a_7: a trimap has one 8-bit channel, not \(8, 12, 3\)",
    "16 bit trimap": r"mask a_7: a trimap has one 8-bit channel, not \(8, 12\) uint16",
}


@pytest.mark.fault("a image or mask that is broken or hostile")
@pytest.mark.parametrize("how", REASONS)
def test_unusable_images_are_dropped_by_name(raw: Path, how: str) -> None:
    spoil(raw, how)
    split = checked_split(raw, 0.1, None, max_dropped=0.05)
    assert [image["id"] for image in split["dropped"]] == ["a_7"]
    assert "a_7" not in split["train"]
    with pytest.raises(InputError, match=REASONS[how]) as caught:
        checked_split(raw, 0.1, None, max_dropped=0.03)
    assert "1 of 30 images are unusable, more than data.max_dropped = 0.03" in str(caught.value)


@pytest.mark.fault("a list that leads out, repeats, or comes from Windows")
@pytest.mark.parametrize("name", ["../a_1", "/etc/passwd", "..", "x/../../y", "..\\a", "a\0b", ".hidden"])
def test_a_list_cannot_lead_out(raw: Path, name: str) -> None:
    write_lists(raw, [*TRAINVAL, name], TEST)
    with pytest.raises(InputError, match=r"trainval\.txt: .* is not a plain image id"):
        checked_split(raw, 0.1, None, 1)


@pytest.mark.fault("a list that leads out, repeats, or comes from Windows")
def test_a_image_cannot_train_and_test(raw: Path) -> None:
    write_lists(raw, TRAINVAL, [*TEST, "a_3"])
    with pytest.raises(InputError, match="a_3 is listed twice"):
        checked_split(raw, 0.1, None, 0)


@pytest.mark.parametrize("part", ["trainval", "test"])
def test_an_empty_part(raw: Path, part: str) -> None:
    write_lists(raw, *{"trainval": ([], TEST), "test": (TRAINVAL, [])}[part])
    with pytest.raises(InputError, match="part is empty"):
        checked_split(raw, 0.1, None, 0)


def test_a_missing_list(raw: Path) -> None:
    (raw / layout.TEST).unlink()
    with pytest.raises(InputError, match=r"test\.txt: no such list"):
        checked_split(raw, 0.1, None, 0)


def test_ids_with_spaces_and_lists_without_numbers(raw: Path) -> None:
    for path in (layout.image_path, layout.trimap_path):
        shutil.copy(path(raw, "b_0"), path(raw, "my dog 7"))
    (raw / layout.TEST).write_text("my dog 7 1 1 1\nb_1\nb_2 \n")
    assert checked_split(raw, 0.1, None, 0)["test"] == ["my dog 7", "b_1", "b_2"]


@pytest.mark.fault("a list that leads out, repeats, or comes from Windows")
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_lists_from_windows(raw: Path, mark: bytes) -> None:
    expected = checked_split(raw, 0.1, None, 0)
    for path in (raw / layout.TRAINVAL, raw / layout.TEST):
        path.write_bytes(mark + path.read_bytes().replace(b"\n", b"\r\n"))
    assert checked_split(raw, 0.1, None, 0) == expected


@pytest.mark.fault("a list that leads out, repeats, or comes from Windows")
@pytest.mark.parametrize("data", ["a_1\n".encode("utf-16"), b"caf\xe9\n", b"\x89PNG\r\n\x1a\n\0\xff"])
def test_a_list_that_is_not_text(raw: Path, data: bytes) -> None:
    (raw / layout.TRAINVAL).write_bytes(data)
    with pytest.raises(
        InputError, match=r"trainval\.txt: (not a text file in UTF-8|.*is not a plain image id)"
    ):
        checked_split(raw, 0.1, None, 1)


@pytest.mark.fault("a list that leads out, repeats, or comes from Windows")
def test_a_name_that_is_too_long_is_dropped(raw: Path) -> None:
    write_lists(raw, [*TRAINVAL, "x" * 5000], TEST)
    assert [image["id"] for image in checked_split(raw, 0.1, None, 0.1)["dropped"]] == ["x" * 5000]
