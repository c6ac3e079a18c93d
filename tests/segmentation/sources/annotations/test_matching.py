"""Which file a name in an export means, where its folders are others than those on disk."""

import json
import re
import time
from pathlib import Path

import pytest
import tool_exports as exports
from own_folder import written

from segmentation.common import dataset_layout as layout
from segmentation.common.errors import InputError
from segmentation.sources.annotations.matching import match
from segmentation.sources.annotations.shapes import AnnotatedImage


def named(*names: str, subset: str = "") -> list[AnnotatedImage]:
    return [AnnotatedImage(name, None, [], Path("/own/labels.json"), subset) for name in names]


def found(names: list[AnnotatedImage], *files: str) -> dict[str, str]:
    """Which of the files in /own each name means."""
    matched, _, _ = match(names, [Path("/own", file) for file in files], Path("/own"))
    return {image.name: file.relative_to("/own").as_posix() for file, image in matched.items()}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    exports.makesense(tmp_path / "own")
    return tmp_path / "own"


def renamed(own: Path, names: dict[str, str]) -> None:
    (file,) = own.glob("*.json")
    content = json.loads(file.read_text())
    for image in content["images"]:
        image["file_name"] = names.get(image["file_name"], image["file_name"])
    file.write_text(json.dumps(content))


def test_the_longest_end_in_common_decides() -> None:
    files = ("a/b/1.jpg", "c/b/1.jpg", "c/1.jpg")
    assert found(named("/srv/c/b/1.jpg"), *files) == {"/srv/c/b/1.jpg": "c/b/1.jpg"}
    assert found(named("D:\\x\\C\\1.JPG"), *files) == {"D:\\x\\C\\1.JPG": "c/1.jpg"}
    assert found(named("own/c/b/1.jpg"), *files) == {"own/c/b/1.jpg": "c/b/1.jpg"}
    assert found(named("z/A/1.jpg", "z/a/1.jpg"), "q/A/1.jpg", "q/a/1.jpg") == {
        "z/A/1.jpg": "q/A/1.jpg",
        "z/a/1.jpg": "q/a/1.jpg",
    }
    with pytest.raises(InputError, match=r"'/srv/b/1\.jpg' may be /own/a/b/1\.jpg or /own/c/b/1\.jpg"):
        found(named("/srv/b/1.jpg"), *files)


def test_the_only_file_of_a_name_in_another_folder_is_taken_and_said(own: Path) -> None:
    renamed(own, {"3.JPG": "upload/3.jpg", "4.JPG": "upload/4.jpg"})
    raw, said = written(own)
    assert len(layout.read_list(raw / layout.LIST)) == 10
    assert "skipped: nothing; in other folders than named: 2 images, the first 'upload/3.jpg'" in said


@pytest.mark.parametrize("order", [1, -1])
def test_the_image_of_another_name_is_not_taken(own: Path, order: int) -> None:
    """Of an export of two sites, one lies here: its images are not those of the other."""
    (own / "images").rename(own / "siteA")
    renamed(own, {f"{n}.JPG": f"site{'AB'[n % 2]}/{n - n % 2}.jpg" for n in range(10)})
    (file,) = own.glob("*.json")
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"images": content["images"][::order]}))
    for number in range(1, 10, 2):
        (own / f"siteA/{number}.jpg").unlink()
    raw, said = written(own)
    assert layout.read_list(raw / layout.LIST) == [f"siteA__{n}" for n in range(0, 10, 2)]
    assert re.search(r"5 images that are not there, the first 'siteB/[08]\.jpg'", said)
    assert "in other folders" not in said


def test_two_names_of_other_folders_for_one_file_are_refused(own: Path) -> None:
    renamed(own, {"3.JPG": "a/4.jpg", "4.JPG": "b/4.jpg"})
    with pytest.raises(InputError, match=r"4\.jpg: named twice, as 'a/4\.jpg' .* and as 'b/4\.jpg'"):
        written(own)


def test_a_subset_is_the_folder_of_its_images() -> None:
    images = named("1.jpg", subset="train") + named("1.jpg", "2.jpg", subset="test")
    files = [Path("/own/images", name) for name in ("test/1.jpg", "train/1.jpg", "2.jpg")]
    matched, absent, moved = match(images, files, Path("/own"))
    assert [matched[file].subset for file in files] == ["test", "train", "test"]
    assert absent == [] and moved == []


def test_images_of_one_name_in_two_subsets_of_cvat(tmp_path: Path) -> None:
    own = tmp_path / "own"
    entries = []
    for number, subset in enumerate(("train", "test")):
        exports.write_image(own / f"images/{subset}/a.jpg", number)
        width, height = exports.size(number)
        entries.append(
            f'<image id="{number}" name="a.jpg" subset="{subset}" width="{width}" height="{height}">'
            f'<box label="cell" xtl="0" ytl="0" xbr="{9 + number}" ybr="9"/></image>'
        )
    (own / "annotations.xml").write_text(exports.cvat_xml("".join(entries)))
    raw, said = written(own)
    assert layout.read_list(raw / layout.LIST) == ["test__a", "train__a"] and "skipped: nothing" in said


@pytest.mark.parametrize("here", [20_000, 10_000], ids=["all", "half of them"])
@pytest.mark.parametrize("name", ["D:\\data\\{}\\IMG.jpg", "images/{}/img.jpg", "{}/IMG.JPG", "IMG_{}.jpg"])
def test_20000_names_are_matched_in_seconds(here: int, name: str) -> None:
    names = named(*(name.format(number) for number in range(20_000)))
    own_name = "IMG_{}.jpg" if "IMG_" in name else "{}/img.jpg"
    files = [Path("/own/images", own_name.format(number)) for number in range(here)]
    begin = time.process_time()
    matched, absent, _ = match(names, files, Path("/own"))
    seconds = time.process_time() - begin
    assert len(matched) == here and len(absent) == 20_000 - here and seconds < 3, seconds
