import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hostile import pixel_bomb, text_bomb
from PIL import Image
from projects import DEFAULTS, checked_split

from segmentation.common import dataset_layout as layout
from segmentation.common.errors import InputError
from segmentation.common.image_io import read_trimap
from segmentation.sources.folder import write_folder

COUNT = 20


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A person's folder: 20 images of several formats, masks of 0 and 255."""
    own = tmp_path / "own"
    for name in ("images", "masks"):
        (own / name).mkdir(parents=True)
    for i in range(COUNT):
        Image.new("RGB", (30, 20), (10 * i, 0, 0)).save(
            own / "images" / f"photo {i}{['.jpg', '.png', '.webp'][i % 3]}"
        )
        mask = np.zeros((20, 30), np.uint8)
        mask[5:10, 5 : 6 + i] = 255
        Image.fromarray(mask).save(own / "masks" / f"photo {i}.png")
    return own


def written(own: Path) -> Path:
    raw = own.parent / f"raw{len(list(own.parent.iterdir()))}"
    raw.mkdir()
    write_folder(raw, own, DEFAULTS.data.folder)
    return raw


def members(raw: Path) -> tuple[list[str], list[str]]:
    return layout.read_list(raw / layout.TRAINVAL), layout.read_list(raw / layout.TEST)


def test_masks_become_trimaps_and_images_keep_their_bytes(own: Path) -> None:
    raw = written(own)
    assert layout.image_path(raw, "photo 1").read_bytes() == (own / "images/photo 1.png").read_bytes()
    trimap = read_trimap(layout.trimap_path(raw, "photo 3"))
    assert (trimap[5:10, 5:9] == layout.PET).all() and (trimap == layout.PET).sum() == 20
    assert (trimap == layout.BACKGROUND).sum() == 580
    assert not layout.has_lists(raw)
    assert layout.read_list(raw / layout.LIST) == sorted(f"photo {i}" for i in range(COUNT))


@pytest.mark.parametrize("place", ["", "annotations"])
@pytest.mark.parametrize("suffix", ["", ".jpg"])
def test_lists_are_followed(own: Path, place: str, suffix: str) -> None:
    (own / place).mkdir(exist_ok=True)
    (own / place / "trainval.txt").write_text("".join(f"photo {i}{suffix}\n" for i in range(6)))
    (own / place / "test.txt").write_text("photo 9\nphoto 7\n")
    assert members(written(own)) == ([f"photo {i}" for i in range(6)], ["photo 9", "photo 7"])


def test_trimaps_are_taken_as_they_are(own: Path) -> None:
    shutil.rmtree(own / "masks")
    (own / "annotations/trimaps").mkdir(parents=True)
    for i in range(COUNT):
        trimap = np.full((20, 30), 2, np.uint8)
        trimap[0, :3] = (1, 3, 3)
        Image.fromarray(trimap).save(own / f"annotations/trimaps/photo {i}.png")
    raw = written(own)
    assert (read_trimap(layout.trimap_path(raw, "photo 2")) == 3).sum() == 2


def coloured(mask: np.ndarray) -> Image.Image:
    return Image.fromarray(np.stack([mask, 0 * mask, 0 * mask], axis=-1))


def palette(mask: np.ndarray) -> Image.Image:
    image = Image.fromarray((mask > 0).astype(np.uint8))
    image.putpalette([0, 0, 0, 255, 0, 0])
    return image


@pytest.mark.parametrize(
    "convert",
    [
        lambda mask: Image.fromarray(mask).convert("1"),
        lambda mask: Image.fromarray((mask > 0).astype(np.uint8)),
        lambda mask: Image.fromarray(mask.astype(np.uint16) * 100),
        lambda mask: Image.merge("LA", [Image.fromarray(mask), Image.new("L", (30, 20), 255)]),
        lambda mask: coloured(mask).convert("RGBA"),
        coloured,
        palette,
    ],
    ids=["1 bit", "0 and 1", "16 bit", "grey with alpha", "colour with alpha", "colour", "palette"],
)
def test_any_non_zero_pixel_is_foreground(own: Path, convert) -> None:  # type: ignore[no-untyped-def]
    path = own / "masks/photo 4.png"
    before = np.asarray(Image.open(path))
    convert(before).save(path)
    trimap = read_trimap(layout.trimap_path(written(own), "photo 4"))
    assert ((trimap == layout.PET) == (before > 0)).all()


def test_a_lossy_mask_is_known_by_its_content(own: Path) -> None:
    path = own / "masks/photo 4.png"
    Image.open(path).save(path, "JPEG")
    with pytest.raises(InputError, match=r"photo 4\.png: masks must be lossless"):
        written(own)


@pytest.mark.parametrize(
    "how", ["no mask", "no image", "broken mask", "broken image", "pixel bomb", "text bomb"]
)
def test_the_split_names_unusable_files(own: Path, how: str) -> None:
    if how == "no mask":
        (own / "masks/photo 3.png").unlink()
    elif how == "no image":
        (own / "images/photo 3.jpg").unlink()
    elif how == "broken mask":
        (own / "masks/photo 3.png").write_text("hello")
    elif how == "broken image":
        (own / "images/photo 3.jpg").write_text("hello")
    else:
        (own / "masks/photo 3.png").write_bytes(pixel_bomb() if how == "pixel bomb" else text_bomb())
    split = checked_split(written(own), 0.1, None, max_dropped=0.05)
    assert [image["id"] for image in split["dropped"]] == ["photo 3"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda own: shutil.rmtree(own), r"own: no such folder; set data\.folder\.path to"),
        (lambda own: shutil.rmtree(own / "images"), "images: no such folder; put your files there"),
        (lambda own: shutil.rmtree(own / "masks"), "needs exactly one of the folders masks/ and trim"),
        (lambda own: (own / "trimaps").mkdir(), "needs exactly one of the folders masks/ and trim"),
        (lambda own: [file.unlink() for file in (own / "images").iterdir()], r"images: contains no images"),
        (lambda own: (own / "test.txt").touch(), r"needs both trainval\.txt and test\.txt"),
        (lambda own: shutil.copy(own / "images/photo 0.jpg", own / "images/photo 0.png"), "have one name"),
        (lambda own: Image.new("L", (30, 20)).save(own / "masks/photo 0.png", "JPEG"), "must be lossless"),
        (lambda own: [(own / n).write_text("../x\n") for n in ("test.txt", "trainval.txt")], "not a plain"),
    ],
)  # fmt: skip
def test_a_folder_that_cannot_be_used(own: Path, spoil, message: str) -> None:  # type: ignore[no-untyped-def]
    spoil(own)
    with pytest.raises(InputError, match=message):
        written(own)


@pytest.mark.fault("a list that leads out, repeats, or comes from Windows")
@pytest.mark.parametrize("name", [b"line\nbreak.jpg", b"\xff.jpg", b"back\\slash.jpg"])
def test_a_file_name_that_no_list_can_hold(own: Path, name: bytes) -> None:
    shutil.copy(own / "images/photo 0.jpg", os.fsdecode(bytes(own / "images") + b"/" + name))
    with pytest.raises(InputError, match="cannot be written in a list; rename it"):
        written(own)


def test_subfolders_are_read_in_both_folders(own: Path) -> None:
    for name in ("images", "masks"):
        (own / name / "more").mkdir()
        for suffix in (".jpg", ".png"):
            if (file := own / name / f"photo 3{suffix}").exists():
                file.rename(own / name / f"more/photo 3{suffix}")
    (own / "trainval.txt").write_text(
        "".join(f"photo {i}\n" for i in range(12) if i != 3) + "more/photo 3.jpg\n"
    )
    (own / "test.txt").write_text("".join(f"photo {i}\n" for i in range(12, COUNT)))
    raw = written(own)
    assert members(raw)[0][-1] == "more__photo 3"
    assert (read_trimap(layout.trimap_path(raw, "more__photo 3")) == layout.PET).sum() == 20
    (own / "images/more__photo 3.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"'more__photo 3.png' and 'more/photo 3.jpg' would have one name"):
        written(own)


def test_files_that_are_no_images_are_counted_and_passed_over(own: Path) -> None:
    (own / "images/labels.json").write_text("{}")
    (own / "masks/classes.txt").write_text("cell")
    (own / "images/photo 3.jpg").rename(own / "images/photo 3.what")  # its content is that of an image
    raw = own.parent / "raw"
    raw.mkdir()
    said, _ = write_folder(raw, own, DEFAULTS.data.folder)
    assert said[0] == f"{COUNT} images, {COUNT} masks"
    assert f"files that are no images, passed over: 2, the first {own / 'images/labels.json'}" in said


def test_names_that_end_with_numbers_keep_them(own: Path) -> None:
    for name, suffix in (("images", ".jpg"), ("masks", ".png")):
        (own / name / f"photo 3{suffix}").rename(own / name / f"cat 2021 03 00{suffix}")
    (own / "trainval.txt").write_text("cat 2021 03 00\nphoto 6 1 1 1\n")
    (own / "test.txt").write_text("photo 9\ncat 2021 03 00 1 1 1\n")
    assert members(written(own)) == (["cat 2021 03 00", "photo 6"], ["photo 9", "cat 2021 03 00"])


def test_a_list_from_windows(own: Path) -> None:
    (own / "trainval.txt").write_bytes(
        b"\xef\xbb\xbfimages\\photo 3.jpg\r\nD:\\pets\\images\\photo 6.jpg\r\n"
    )
    (own / "test.txt").write_bytes(b"photo 9\r\n")
    assert members(written(own)) == (["photo 3", "photo 6"], ["photo 9"])


def test_macos_and_linux_write_letters_differently(own: Path) -> None:
    nfc, nfd = (unicodedata.normalize(form, "été") for form in ("NFC", "NFD"))
    (own / "images/photo 3.jpg").rename(own / f"images/{nfd}.jpg")
    (own / "masks/photo 3.png").rename(own / f"masks/{nfc}.png")
    (own / "trainval.txt").write_text(f"{nfd}\nphoto 6\n")
    (own / "test.txt").write_text("photo 9\n")
    raw = written(own)
    assert members(raw)[0] == [nfc, "photo 6"] and layout.image_path(raw, nfc).exists()
    shutil.copy(own / "images/photo 6.jpg", own / f"images/{nfc}.jpg")
    both = r"'e\\u0301te\\u0301.jpg' and '\\xe9t\\xe9.jpg' would have one name"
    with pytest.raises(InputError, match=both):
        written(own)


@pytest.mark.parametrize(
    ("line", "known", "image_id"),
    [
        ("img.001 1 1 1", {"img", "img.001"}, "img.001"),
        ("scan 1.5 1 1 1", {"scan 1", "scan 1.5"}, "scan 1.5"),
        ("a/b.jpg", {"b", "a__b"}, "a__b"),
        ("b.jpg 1 1 1", {"b"}, "b"),
    ],
)
def test_a_line_of_a_list_names_one_image(line: str, known: set[str], image_id: str) -> None:
    assert layout.find_id(line, known) == image_id


def test_a_path_too_long_for_one_name_is_named(own: Path) -> None:
    long = own / "images" / ("a" * 120) / ("b" * 130)
    long.mkdir(parents=True)
    (own / "images/photo 3.jpg").rename(long / "photo 3.jpg")
    with pytest.raises(InputError, match=r"bbb/photo 3\.jpg' is too long for the name"):
        written(own)
