"""What lies beside an export: other files of it, files of other programs, broken and unreadable ones."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tool_exports as exports
from own_folder import change_masks, own_folder, written
from PIL import Image

from segmentation.common import dataset_layout as layout
from segmentation.common.errors import Fault, InputError
from segmentation.common.image_io import read_trimap


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


def trimaps(raw: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (raw / layout.TRIMAPS).iterdir()}


# ---- COCO's other files


def with_captions_and_keypoints(own: Path) -> Path:
    """The files that COCO has about the same images; return the one of instances."""
    exports.makesense(own)
    (own / "annotations").mkdir()
    instances = own / "annotations/instances_val.json"
    next(own.glob("*.json")).rename(instances)
    content = json.loads(instances.read_text())
    captions = [{"id": n, "image_id": image["id"], "caption": "a cell"} for n, image in
                enumerate(content["images"])]  # fmt: skip
    (own / "annotations/captions_val.json").write_text(
        json.dumps({"images": content["images"], "annotations": captions})
    )
    skeleton = {"id": 1, "name": "cell", "keypoints": ["left", "right"], "skeleton": [[1, 2]]}
    shapes = [entry | {"keypoints": [1, 2, 2, 3, 4, 2], "num_keypoints": 2} for entry in
              content["annotations"] if entry["category_id"] == 1]  # fmt: skip
    (own / "annotations/person_keypoints_val.json").write_text(
        json.dumps({"images": content["images"], "annotations": shapes, "categories": [skeleton]})
    )
    return instances


def test_captions_and_keypoints_beside_instances_change_nothing_and_are_said(own: Path) -> None:
    with_captions_and_keypoints(own)
    raw, said = written(own)
    assert "10 images, 15 annotations (cell 10, dust 5)" in said
    assert "1 file that labels no area (captions_val.json)" in said
    assert "10 images of keypoints that another file labels" in said
    for name in ("captions_val.json", "person_keypoints_val.json"):
        (own / "annotations" / name).unlink()
    alone, said = written(own)
    assert trimaps(raw) == trimaps(alone) and "skipped: nothing" in said


def test_keypoints_without_instances_are_used_beside_captions(own: Path) -> None:
    with_captions_and_keypoints(own).unlink()
    assert "10 images, 10 annotations (cell 10)" in written(own)[1]


def test_captions_alone_label_nothing(own: Path) -> None:
    with_captions_and_keypoints(own).unlink()
    (own / "annotations/person_keypoints_val.json").unlink()
    with pytest.raises(InputError, match=r"captions_val\.json: labels no area in the images of"):
        written(own)


def test_two_files_of_instances_about_one_image_stay_a_doubt(own: Path) -> None:
    instances = with_captions_and_keypoints(own)
    instances.with_name("stuff_val.json").write_text(instances.read_text())
    with pytest.raises(InputError, match=r"images/0\.jpg: named twice, as .* in .*instances_val\.json"):
        written(own)


@pytest.mark.parametrize("number", [float, str], ids=["1.0", "text"])
def test_ids_may_be_written_as_other_numbers(own: Path, number: type) -> None:
    exports.makesense(own)
    (file,) = own.glob("*.json")
    content = json.loads(file.read_text())
    for entry in content["annotations"]:
        entry |= {"image_id": number(entry["image_id"]), "category_id": number(entry["category_id"])}
    for entry in content["categories"]:
        entry["id"] = float(entry["id"]) if number is float else entry["id"]
    file.write_text(json.dumps(content))
    assert "10 images, 15 annotations (cell 10, dust 5)" in written(own, classes=["cell"])[1]
    content["images"][0]["id"] = 0.5
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"images\[0\] has no id"):
        written(own)


# ---- broken files


BROKEN = '{"name": "labels",\n "scripts": {]}'


@pytest.mark.fault("an export that is broken or hostile")
@pytest.mark.parametrize("tool", [tool for tool in exports.EXPORTS if not tool.startswith("masks")])
def test_a_broken_file_of_something_else_is_counted_and_passed_over(own: Path, tool: str) -> None:
    exports.EXPORTS[tool][0](own)
    (own / "package.json").write_text(BROKEN)
    raw, said = written(own)
    assert f"broken files, passed over: 1, the first {own}/package.json" in said
    (own / "package.json").unlink()
    assert trimaps(raw) == trimaps(written(own)[0])


@pytest.mark.fault("an export that is broken or hostile")
def test_a_broken_file_and_nothing_else_is_named_with_line_and_column(own: Path) -> None:
    exports.write_image(own / "images/0.jpg", 0)
    (own / "package.json").write_text(BROKEN)
    with pytest.raises(InputError, match=r"package\.json: not usable as JSON .*: line 2 column 14"):
        written(own)


@pytest.mark.fault("an export that is broken or hostile")
@pytest.mark.parametrize("size", [0, 5, 90, -1])
@pytest.mark.parametrize(
    ("tool", "name"), [("LabelMe", "4.json"), ("Roboflow", "valid/_annotations.coco.json")]
)
def test_a_broken_part_of_the_export_is_not_passed_over(own: Path, tool: str, name: str, size: int) -> None:
    exports.EXPORTS[tool][0](own)
    text = (own / name).read_text()
    (own / name).write_text(text[:size])
    with pytest.raises(InputError, match=rf"{name}: not usable as JSON .*: line \d+ column \d+"):
        written(own)


@pytest.mark.fault("an export that is broken or hostile")
def test_chinese_xml_in_its_old_encoding_is_named(own: Path) -> None:
    exports.cvat(own)
    text = (own / "annotations.xml").read_text().replace('encoding="utf-8"', 'encoding="GBK"')
    (own / "annotations.xml").write_bytes(text.replace("cell", "细胞").encode("gbk"))
    with pytest.raises(InputError, match=r"annotations\.xml: not usable as XML .* as UTF-8"):
        written(own)


# ---- unreadable files


@contextmanager
def as_nobody() -> Iterator[None]:
    """Run as a user for whom there are unreadable files, which there are not for root."""
    root = os.geteuid() == 0
    if root:
        os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        if root:
            os.setresuid(0, 0, 0)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that others may read and write."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


@pytest.mark.fault("files that cannot be read")
@pytest.mark.parametrize("name", ["notes.json", "images/notes"])
def test_an_unreadable_file_beside_the_data_is_not_asked(public: Path, name: str) -> None:
    own_folder(public / "own")
    (public / "own" / name).write_text("{}")
    (public / "own" / name).chmod(0)
    with as_nobody():
        assert "10 images, 10 masks" in written(public / "own")[1]


@pytest.mark.fault("files that cannot be read")
@pytest.mark.parametrize("name", ["annotations.xml", "images/3.jpg", "images", "groups.csv"])
def test_what_cannot_be_read_is_named(public: Path, name: str) -> None:
    exports.cvat(public / "own")
    (public / "own/groups.csv").write_text("id,group\n")
    (public / "own" / name).chmod(0)
    with as_nobody(), pytest.raises((InputError, Fault, OSError), match="Permission denied") as caught:
        written(public / "own")
    assert f"own/{name}" in str(caught.value) and "\n" not in str(caught.value)
    (public / "own" / name).chmod(0o700)


# ---- VOC


def voc(own: Path, labelmap: str, mask: Image.Image) -> None:
    exports.cvat_as_voc(own)
    for number in range(exports.COUNT):
        exports.write_image(own / f"JPEGImages/{number}.jpg", 0)
        mask.save(own / f"SegmentationClass/{number}.png")
    (own / "labelmap.txt").write_text(labelmap)


def test_subfolders_of_segmentationclass_mirror_those_of_the_images(own: Path) -> None:
    exports.cvat_as_voc(own)
    expected = trimaps(written(own)[0])
    for folder, suffix in (("JPEGImages", "jpg"), ("SegmentationClass", "png")):
        (own / folder / "more/deep").mkdir(parents=True)
        for number in range(exports.COUNT):
            place = "more/deep" if number else "more"
            (own / folder / f"{number}.{suffix}").rename(own / folder / place / f"{number}.{suffix}")
    raw, said = written(own)
    assert "10 images, 10 masks" in said
    assert trimaps(raw) == {
        f"more__{'deep__' * (name != '0.png')}{name}": expected[name] for name in expected
    }


def test_several_folders_of_masks_are_refused(own: Path) -> None:
    for part in ("a", "b"):
        exports.cvat_as_voc(own / part)
    with pytest.raises(InputError, match=r"holds .*a/SegmentationClass and .*b/SegmentationClass; put their"):
        written(own)


def test_grey_colours_of_classes_are_the_values_of_masks_with_one_channel(own: Path) -> None:
    values = np.zeros((48, 64), np.uint8)
    values[5:9], values[20:30] = 100, 200
    voc(own, "background:0,0,0::\ncell:100,100,100::\ndust:200,200,200::\n", Image.fromarray(values))
    raw, said = written(own, classes=["cell"])
    pet = read_trimap(layout.trimap_path(raw, "3")) == layout.PET
    np.testing.assert_array_equal(pet, values == 100)
    assert "masks by class: cell (10), dust (10)" in said and "warning" not in said


@pytest.mark.parametrize("name", ["background", "Background", "_background_"])
def test_the_background_of_a_labelmap_may_be_white(own: Path, name: str) -> None:
    colors = np.full((48, 64, 3), 255, np.uint8)
    colors[5:9], colors[20:30] = (128, 0, 0), (0, 0, 0)
    voc(own, f"{name}:255,255,255::\ncell:128,0,0::\ndust:0,0,0::\n", Image.fromarray(colors))
    raw, said = written(own)
    pet = read_trimap(layout.trimap_path(raw, "3")) == layout.PET
    np.testing.assert_array_equal(pet, (colors != 255).any(axis=-1))
    assert "masks by class: cell (10), dust (10)" in said and "warning" not in said


@pytest.mark.parametrize("place", ["SegmentationClass", "SegmentationClass/more", "annotations", "."])
def test_another_format_beside_masks_is_found_in_its_usual_places(own: Path, place: str) -> None:
    exports.masks(own)
    (own / place).mkdir(parents=True, exist_ok=True)
    if place.startswith("Seg"):
        Image.new("L", (4, 4)).save(own / place / "0.png")
    else:
        exports.coco(own / place / "labels.json", {0: "0.jpg"})
    with pytest.raises(InputError, match=r"there is masks/ .* and (VOC|COCO JSON) .*; move one of them out"):
        written(own)


def test_hidden_files_beside_masks_are_not_looked_at(own: Path) -> None:
    exports.masks(own)
    (own / "SegmentationClass").mkdir()
    for name in ("SegmentationClass/.DS_Store", "._labels.json"):
        (own / name).write_bytes(b"\x00\x05\x16\x07")
    assert "broken" not in written(own)[1]


# ---- folders without images/


def test_groups_of_an_export_without_images_are_of_its_folder(own: Path) -> None:
    exports.labelme(own)
    (own / "groups.csv").write_text("id,group\n3,a\nnowhere,b\n")
    with pytest.raises(InputError, match=rf"names 'nowhere', which is no image of {own}$"):
        written(own)


def test_a_folder_without_labels_and_images_is_told_what_is_looked_for(own: Path) -> None:
    exports.write_image(own / "0.jpg", 0)
    with pytest.raises(InputError, match=rf"^{own}: needs exactly one .*COCO JSON.*there is none$"):
        written(own)


def test_masks_without_images_ask_for_these(own: Path) -> None:
    exports.masks(own)
    change_masks(own, lambda mask: mask)
    (own / "images").rename(own / "photos")
    with pytest.raises(InputError, match=r"images: no such folder; put your files there"):
        written(own)
