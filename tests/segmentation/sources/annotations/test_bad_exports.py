"""What is wrong in an export is one line that says where, and nothing is left half-written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tool_exports as exports
from commands import RunHere
from own_folder import written
from PIL import Image
from projects import set_params

from segmentation.common import dataset_layout as layout
from segmentation.common.errors import InputError


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


def first(content: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = content["annotations"][0]
    return entry


def area(value: object) -> Callable[[dict[str, Any]], object]:
    return lambda content: first(content).update(segmentation=value)


def rle(counts: object, size: object = (48, 64)) -> Callable[[dict[str, Any]], object]:
    return area({"counts": counts, "size": size})


BAD: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "two points": (area([[1, 2, 3, 4]]), "annotation 1 of 0.JPG: not three or more pairs of x and y"),
    "half a point": (area([[1, 2, 3, 4, 5, 6, 7]]), "annotation 1 of 0.JPG: not three or more pairs"),
    "NaN": (area([[1, 2, 3, float("nan"), 5, 6]]), "annotation 1 of 0.JPG: holds what is no finite number"),
    "no number": (area([[1, 2, 3, {}, 5, 6]]), "0.JPG: holds what is no finite number"),
    "a number too long": (area([[1, 2, 3, 10**400, 5, 6]]), "0.JPG: holds what is no finite number"),
    "infinitely far": (area([[1, 2, 3, 4, 5, float("inf")]]), "1 of 0.JPG: holds what is no finite number"),
    "huge coordinates": (area([[1, 2, -1e300, 4, 5, 1e300]]), "reaches from .* far outside of its image"),
    "far outside": (area([[1, 2, 3, 4, 5, 60000]]), "reaches from .* far outside of its image of 64x48"),
    "counts too few": (rle([40, 50]), "counts of its RLE do not add up to 64x48 pixels"),
    "counts too many": (rle([1000, 2073]), "counts of its RLE do not add up to 64x48 pixels"),
    "negative counts": (rle([4000, -928]), "annotation 1 of 0.JPG: the counts of its RLE do not add up"),
    "counts of no whole numbers": (rle([1000.7, 2072.2]), "1 of 0.JPG: .* or are not whole numbers from 0"),
    "a huge count": (rle([3072, 1e300]), "annotation 1 of 0.JPG: the counts of its RLE do not add up"),
    "a NaN count": (rle([3072, float("nan")]), "annotation 1 of 0.JPG: holds what is no finite number"),
    "a negative string": (rle("O"), "annotation 1 of 0.JPG: the counts of its RLE do not add up"),
    "no counts": (rle(None), "annotation 1 of 0.JPG: "),
    "another size": (rle([3072], [64, 48]), "its RLE is of 48x64 pixels, its image of 64x48"),
    "no size": (rle([3072], 3), "its RLE has no size"),
    "a broken string": (rle("0P"), "its compressed RLE is broken"),
    "letters": (rle("é~"), "its compressed RLE is broken"),
    "an empty string": (rle(""), "its compressed RLE is broken"),
    "a string too short": (rle("01"), "counts of its RLE do not add up"),
    "a word": (area("polygon"), "neither a list of polygons nor an RLE"),
    "the image's size": (lambda all: all["images"][2].update(width=12), "has 66x49 pixels, .* says 12x49"),
    "no size at all": (lambda all: all["images"][2].update(width="wide"), r"images\[2\] .*no size in pixels"),
    "no file name": (lambda all: all["images"][2].pop("file_name"), r"images\[2\] has no file_name"),
    "no image id": (lambda content: first(content).pop("image_id"), r"annotations\[0\] has no image_id"),
    "a category twice": (
        lambda all: all["categories"].append({"id": 1, "name": "fibre"}),
        "the category id 1 is that of cell and fibre",
    ),
    "an image twice": (lambda all: all["images"].append(all["images"][3]), "the id 10 is also that of 3.JPG"),
    "a name twice": (lambda all: all["images"].append({"id": 99, "file_name": "3.jpg"}), "named twice"),
    "no such images": (
        lambda content: [image.update(file_name="x.png") for image in content["images"]],
        r"none of its 10 images is in .*own, such as 'x\.png'",
    ),
    "nothing": (lambda content: content.update(annotations=[]), "labels no area in the images"),
}  # fmt: skip


@pytest.mark.fault("an export that is broken or hostile")
@pytest.mark.parametrize("what", BAD)
def test_what_is_wrong_in_coco_is_named(own: Path, what: str) -> None:
    exports.makesense(own)
    file = next(own.glob("*.json"))
    content = json.loads(file.read_text())
    spoil, said = BAD[what]
    spoil(content)
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=said) as caught:
        written(own)
    assert "\n" not in str(caught.value) and str(own) in str(caught.value)


BOMB = """<?xml version="1.0"?><!DOCTYPE annotations [<!ENTITY a "ha">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><annotations>&c;</annotations>"""

TEXTS = {
    "broken JSON": ("a.json", '{"images": [],\n "annotations": [}', r"as JSON in UTF-8 .*: line 2 column 18"),
    "cut JSON": ("a.json", '{"images": [{"id": 1', r"a\.json: not usable as JSON .*: line 1 column 2"),
    "deep JSON": ("a.json", "[" * 100_000, r"a\.json: not usable as JSON"),
    "a long number": ("a.json", "1" * 10_000, r"a\.json: not usable as JSON"),
    "broken XML": ("a.xml", "<annotations>\n <image></annotations>", r"xml: not usable .* line 2, column 10"),
    "a billion laughs": ("a.xml", BOMB, r"a\.xml: not usable as XML .*Entit"),
    "an image of no size": (
        "a.xml",
        exports.cvat_xml('<image name="a.jpg" width="64"/>'),
        r"a\.jpg: width '64' and height None are no size",
    ),
    "a mask without runs": (
        "a.xml",
        exports.cvat_xml('<image name="0.jpg" width="64" height="48"><mask label="cell" left="1"/></image>'),
        r"mask 1 of 0\.jpg has no rle",
    ),
    "a mask of parts of runs": (
        "a.xml",
        exports.cvat_xml(
            '<image name="0.jpg" width="64" height="48">'
            '<mask label="cell" rle="1.5, 2.5" left="1" top="1" width="3" height="1"/></image>'
        ),
        r"mask 1 of 0\.jpg: the counts of its RLE do not add up to 3x1 pixels, or are not whole",
    ),
    "a shape without label": ("a.json", '{"shapes": [{}], "imagePath": "0"}', r"shapes\[0\] has no label"),
    "a circle of one point": (
        "a.json",
        '{"shapes": [{"label": "a", "shape_type": "circle", "points": [[1, 2]]}], "imagePath": "0.jpg"}',
        r"shapes\[0\]: a circle has two points",
    ),
}  # fmt: skip


@pytest.mark.fault("an export that is broken or hostile")
@pytest.mark.parametrize("what", TEXTS)
def test_what_is_wrong_in_a_file_is_named(own: Path, what: str) -> None:
    exports.write_image(own / "images/0.jpg", 0)
    name, text, said = TEXTS[what]
    (own / name).write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        written(own)
    assert "\n" not in str(caught.value)


@pytest.mark.fault("an export that is broken or hostile")
def test_a_text_in_another_encoding_is_named(own: Path) -> None:
    exports.write_image(own / "images/0.jpg", 0)
    (own / "a.json").write_bytes('{"é": 1}'.encode("latin-1"))
    with pytest.raises(InputError, match=r"a\.json: not usable as JSON in UTF-8"):
        written(own)


@pytest.mark.fault("an export that is broken or hostile")
@pytest.mark.parametrize("line", ["cell", "cell:1,2::", "cell:1,2,300::", "cell:red::"])
def test_a_labelmap_of_something_else_is_named(own: Path, line: str) -> None:
    exports.cvat_as_voc(own)
    (own / "labelmap.txt").write_text(f"background:0,0,0::\n{line}\n")
    with pytest.raises(InputError, match=r"labelmap\.txt: 'cell.*' is not `class:red,green,blue"):
        written(own)


def test_colours_of_no_class_are_named(own: Path) -> None:
    exports.cvat_as_voc(own)
    (own / "labelmap.txt").write_text("background:0,0,0::\ncell:128,0,0::\n")
    assert "warning: colours of no class, taken for background: 1, such as #008000" in written(own)[1]
    (own / "labelmap.txt").write_text("background:0,0,0::\ncell:128,0,9::\n")
    with pytest.raises(InputError, match=r"no mask .* has a colour of its classes"):
        written(own)


STORED, UPRIGHT = (67, 49), (49, 67)


@pytest.mark.parametrize(
    ("orientation", "fitting"),
    [(None, [STORED, UPRIGHT]), ("stored", [STORED]), ("upright", [UPRIGHT])],
)
@pytest.mark.parametrize("size", [STORED, UPRIGHT, (67, 48), (12, 49)])
def test_a_size_that_does_not_fit_is_named_at_once(
    own: Path, orientation: str | None, fitting: list[tuple[int, int]], size: tuple[int, int]
) -> None:
    exports.makesense(own)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(own / "images/3.jpg").save(own / "images/3.jpg", exif=exif)
    file = next(own.glob("*.json"))
    content = json.loads(file.read_text())
    content["images"][3].update(width=size[0], height=size[1])
    content["annotations"] = [entry for entry in content["annotations"] if entry["image_id"] != 10]
    file.write_text(json.dumps(content))
    if size in fitting:
        raw, _ = written(own, orientation=orientation)
        assert Image.open(layout.image_path(raw, "3")).size == Image.open(layout.trimap_path(raw, "3")).size
        return
    has = " or ".join(f"{width}x{height}" for width, height in fitting)
    said = rf"images/3\.jpg: has {has} pixels, .*\.json says {size[0]}x{size[1]}; export the images"
    with pytest.raises(InputError, match=said):
        written(own, orientation=orientation)


@pytest.mark.fault("an export that is broken or hostile")
def test_the_size_of_a_broken_image_costs_nothing(own: Path) -> None:
    exports.makesense(own)
    file = next(own.glob("*.json"))
    content = json.loads(file.read_text())
    content["images"][3].update(width=10**9, height=10**9)
    file.write_text(json.dumps(content))
    (own / "images/3.jpg").write_bytes(b"broken")
    raw, _ = written(own)
    assert layout.image_path(raw, "3").read_bytes() == b"broken"  # which the split names


@pytest.mark.fault("an export that is broken or hostile")
def test_nothing_is_left_half_written(own: Path, project: Path, run_here: RunHere) -> None:
    exports.makesense(own)
    file = next(own.glob("*.json"))
    content = json.loads(file.read_text())
    content["annotations"][-1]["segmentation"] = [[1, 2, 3, 4, 5, 60000]]
    file.write_text(json.dumps(content))
    before = {path: path.stat().st_mtime_ns for path in (project / "data").rglob("*")}
    set_params(project, data__source="folder", data__folder__path=str(own), data__folder__classes=["dust"])
    ended = run_here(project, "stages.download")
    assert ended.status == 2 and "far outside" in ended.stderr
    assert [line for line in ended.stderr.splitlines() if line.startswith("download: ")] != []
    assert {path: path.stat().st_mtime_ns for path in (project / "data").rglob("*")} == before
    set_params(project, data__folder__classes=["cell"])
    assert run_here(project, "stages.download").status == 0  # what is not chosen is not drawn
    set_params(project, data__folder__mask_threshold=3)
    ended = run_here(project, "stages.download")
    assert ended.status == 2 and "must be null with data.folder.mask_threshold" in ended.stderr
