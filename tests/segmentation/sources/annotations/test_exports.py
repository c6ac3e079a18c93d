"""What labelling tools export becomes images and trimaps; what was found and skipped is said in one line."""

import json
from pathlib import Path

import numpy as np
import pytest
import tool_exports as exports
from own_folder import written
from PIL import Image
from projects import DEFAULTS

from segmentation.common import dataset_layout as layout
from segmentation.common.errors import InputError
from segmentation.common.image_io import read_trimap
from segmentation.sources.folder import write_folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


@pytest.mark.parametrize("tool", exports.EXPORTS)
@pytest.mark.parametrize("chosen", [True, False])
def test_every_export_becomes_the_masks_that_were_drawn(own: Path, tool: str, chosen: bool) -> None:
    write, classes = exports.EXPORTS[tool]
    write(own)
    raw, said = written(own, classes=[str(name) for name in classes] if chosen else None)
    ids = layout.read_list(raw / layout.LIST)
    assert len(ids) == exports.COUNT
    for image_id in ids:
        number = int(image_id.partition("__")[2].partition("_")[0] or image_id.rpartition("-")[2])
        labels = exports.outlines(number)
        expected = np.zeros(exports.size(number)[::-1], bool)
        for name in ["cell"] if chosen else labels:
            expected |= exports.filled(labels[name], number) > 0
        found = read_trimap(layout.trimap_path(raw, image_id)) == layout.PET
        np.testing.assert_array_equal(found, expected)
        assert Image.open(layout.image_path(raw, image_id)).size == exports.size(number)
    if not tool.startswith("masks"):
        assert ("foreground: cell" if chosen else "foreground: all of them") in said and "dust" in said


def test_what_was_found_and_skipped_is_one_line(own: Path) -> None:
    exports.labelme(own)
    exports.write_image(own / "new.jpg", 3)
    (own / "3.jpg").unlink()
    content = json.loads((own / "4.json").read_text())
    point = {"label": "cell", "points": [[3, 4]], "shape_type": "point"}
    (own / "4.json").write_text(json.dumps(content | {"shapes": [*content["shapes"], point, point]}))
    assert written(own)[1] == (
        "LabelMe JSON: 9 images, 13 annotations (cell 9, dust 4); foreground: all of them; skipped:"
        f" 2 point shapes, 1 images that are not there, the first '3.jpg', 1 images without annotations, the"
        f" first {own}/new.jpg"
    )


@pytest.mark.parametrize(
    ("tool", "wrong", "said"),
    [
        ("LabelMe", "cel", r"no class 'cel', did you mean 'cell'\?; annotations by class: cell \(10\), dust"),
        ("CVAT, Segmentation mask", "Dust", r"no class 'Dust', did you mean 'dust'"),
        ("masks of values", "3", r"no class '3'; masks by class: 0 \(10\), 1 \(10\), 2 \(5\)"),
        ("masks of colours", "#800001", r"no class '#800001', did you mean '#800000'"),
    ],
)  # fmt: skip
def test_an_unknown_class_is_refused_with_the_list(own: Path, tool: str, wrong: str, said: str) -> None:
    exports.EXPORTS[tool][0](own)
    with pytest.raises(InputError, match=said):
        written(own, classes=[wrong])


def test_a_class_that_labels_nothing_is_refused(own: Path) -> None:
    exports.makesense(own)
    file = next(own.glob("*.json"))
    content = json.loads(file.read_text())
    content["categories"].append({"id": 3, "name": "fibre"})
    file.write_text(json.dumps(content))
    assert "fibre 0" in written(own)[1]
    with pytest.raises(InputError, match=r"the class 'fibre' labels nothing; annotations by class: .*dust"):
        written(own, classes=["cell", "fibre"])


def test_two_formats_or_none_are_one_line_with_what_was_looked_for(own: Path) -> None:
    exports.write_image(own / "images/0.jpg", 0)
    looked_for = (
        r"needs exactly one of .*masks/ and trimaps/ .*COCO JSON, LabelMe.*CVAT XML, or VOC.*there is none"
    )
    with pytest.raises(InputError, match=looked_for):
        written(own)
    exports.makesense(own)
    exports.cvat(own)
    with pytest.raises(
        InputError, match=r"there is CVAT XML \(.*annotations\.xml\) and COCO JSON \(.*\.json\)"
    ):
        written(own)
    (own / "annotations.xml").unlink()
    (own / "masks").mkdir()
    with pytest.raises(InputError, match=r"there is masks/ \(.*masks\) and COCO JSON"):
        written(own)


def test_a_file_or_an_archive_is_not_a_folder(own: Path) -> None:
    exports.makesense(own)
    raw = own.parent / "raw"
    raw.mkdir()
    with pytest.raises(InputError, match=r"\.json: no such folder; set data\.folder\.path to one, unpacked"):
        write_folder(raw, next(own.glob("*.json")), DEFAULTS.data.folder)


def test_annotations_beside_masks_that_lie_with_the_images_are_passed_over(own: Path) -> None:
    exports.masks(own)
    (own / "images/0.json").write_text(json.dumps({"shapes": [], "imagePath": "0.jpg"}))
    assert f"files that are no images, passed over: 1, the first {own}/images/0.json" in written(own)[1]


def test_a_threshold_is_for_masks(own: Path) -> None:
    exports.cvat(own)
    with pytest.raises(InputError, match=r"data\.folder\.mask_threshold: is for masks/, not for CVAT XML"):
        written(own, mask_threshold=128)


def test_classes_are_not_for_trimaps(own: Path) -> None:
    exports.masks(own)
    (own / "masks").rename(own / "trimaps")
    with pytest.raises(InputError, match=r"data\.folder\.classes: .*trimaps has parts"):
        written(own, classes=["1"])


# ---- which file a name means


def renamed(own: Path, name: str) -> None:
    """Let an export call its image 3 by another name."""
    file = own / "labels_my-project_2026-11-30.json"
    file.write_text(file.read_text().replace('"3.JPG"', json.dumps(name)))


@pytest.mark.parametrize(
    "name", ["3.jpg", "./3.JPG", "images/3.jpg", "images\\3.JPG", "C:\\my data\\3.jpg", "../upload/3.jpg"]
)
def test_names_are_matched_if_only_one_file_can_be_meant(own: Path, name: str) -> None:
    exports.makesense(own)
    renamed(own, name)
    assert "10 images" in written(own)[1] and "skipped: nothing" in written(own)[1]


def test_the_folder_in_a_name_decides_between_files(own: Path) -> None:
    exports.makesense(own)
    exports.write_image(own / "images/more/3.jpg", 3)
    renamed(own, "/srv/MORE/3.jpg")
    raw, said = written(own)
    assert layout.image_path(raw, "more__3").exists() and "1 images without annotations" in said


def test_a_name_of_two_files_is_refused(own: Path) -> None:
    exports.makesense(own)
    for folder in ("a", "b"):
        exports.write_image(own / f"images/{folder}/3.jpg", 3)
    (own / "images/3.jpg").unlink()
    with pytest.raises(InputError, match=r"'3\.JPG' may be .*images/a/3\.jpg or .*images/b/3\.jpg"):
        written(own)


def test_an_image_that_is_named_twice_is_refused(own: Path) -> None:
    exports.makesense(own)
    renamed(own, "images/4.jpg")
    with pytest.raises(
        InputError, match=r"images/4\.jpg: named twice, as 'images/4\.jpg' in .* and as '4\.JPG'"
    ):
        written(own)


# ---- which way up


def lying(own: Path, tag: int) -> None:
    """Store the images as a camera does that was held upright."""
    for path in own.glob("images/*.jpg"):
        exif = Image.Exif()
        exif[0x0112] = tag
        turn = {6: Image.Transpose.ROTATE_90, 3: Image.Transpose.ROTATE_180}[tag]
        Image.open(path).transpose(turn).save(path, exif=exif, quality=95)


def test_the_size_in_the_export_decides_which_way_up(own: Path) -> None:
    exports.makesense(own)
    lying(own, 6)
    raw, said = written(own)
    assert "images brought upright by their EXIF orientation: 10" in said
    assert Image.open(layout.image_path(raw, "4")).size == exports.size(4)


def test_where_the_size_does_not_decide_nothing_is_guessed(own: Path) -> None:
    exports.makesense(own)
    lying(own, 3)
    with pytest.raises(InputError, match=r"EXIF orientation \(3\) turns it, and its mask fits both ways"):
        written(own)
    assert "brought upright" in written(own, orientation="upright")[1]


def test_without_a_size_a_photo_that_exif_turns_is_undecided(own: Path) -> None:
    exports.labelme(own)
    for path in own.glob("*.json"):
        content = json.loads(path.read_text())
        path.write_text(json.dumps(content | {"imageHeight": None, "imageWidth": None}))
    assert "10 images" in written(own)[1]
    (own / "images").mkdir()
    for path in own.glob("*.jpg"):
        path.rename(own / "images" / path.name)
    lying(own, 6)
    with pytest.raises(InputError, match=r"EXIF orientation \(6\) turns it"):
        written(own)
    assert "upright" in written(own, orientation="upright")[1]


def test_without_a_labelmap_the_colours_are_those_of_voc(own: Path) -> None:
    """https://host.robots.ox.ac.uk/pascal/VOC: 12 is dog, (64, 0, 128); 255 is void, (224, 224, 192)."""
    (own / "SegmentationClass").mkdir()
    (own / "Annotations").mkdir()
    (own / "Annotations/0.xml").write_text("<annotation><object/></annotation>")  # of boxes: not CVAT's
    exports.write_image(own / "JPEGImages/0.jpg", 0)
    values = np.zeros((48, 64), np.uint8)
    values[4:9, 5:20], values[20:30, 5:20], values[9, 5:20] = 12, 15, 255
    mask = Image.fromarray(values)
    palette = np.zeros((256, 3), np.uint8)
    palette[[12, 15, 255]] = (64, 0, 128), (192, 128, 128), (224, 224, 192)
    mask.putpalette(palette.ravel().tolist())
    mask.save(own / "SegmentationClass/0.png")
    for classes, foreground in ((["dog"], [12]), (["dog", "person"], [12, 15]), (None, [12, 15])):
        raw, said = written(own, classes=classes)
        found = read_trimap(layout.trimap_path(raw, "0")) == layout.PET
        np.testing.assert_array_equal(found, np.isin(values, foreground))
        assert "masks by class: dog (1), person (1)" in said and "warning" not in said
