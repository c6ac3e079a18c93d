"""Shapes are filled as the formats' own tools fill them."""

from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as coco_mask
import pytest
from defusedxml.ElementTree import fromstring
from numpy.typing import NDArray
from pycocotools.coco import COCO
from tool_exports import cvat_xml

from segmentation.common.errors import InputError
from segmentation.sources.annotations import coco, cvat, labelme
from segmentation.sources.annotations.shapes import rasterize

WIDTH, HEIGHT = 120, 90
FILE = Path("labels")
Y, X = np.mgrid[:HEIGHT, :WIDTH] + 0.5  # centres of pixels


def random_parts(rng: np.random.Generator) -> list[list[float]]:
    """Polygons as people draw them: some cross themselves, some reach over the border, some have parts."""
    parts = []
    for _ in range(rng.integers(1, 4)):
        corners = int(rng.integers(3, 14))
        center, radius = rng.uniform((0, 0), (WIDTH, HEIGHT)), rng.uniform(8, 50)
        angles = rng.uniform(0, 2 * np.pi, corners)
        angles = np.sort(angles) if rng.random() < 0.6 else angles
        points = center + radius * rng.uniform(0.5, 1, (corners, 1)) * np.c_[np.cos(angles), np.sin(angles)]
        if rng.random() < 0.5:
            points = points.clip(0, (WIDTH, HEIGHT))
        parts.append(points.round(2).ravel().tolist())
    return parts


def content(area: Any, crowd: int = 0) -> dict[str, Any]:
    image = {"id": 3, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT}
    entry = {"id": 1, "image_id": 3, "category_id": 1, "segmentation": area, "iscrowd": crowd}
    return {"images": [image], "annotations": [entry], "categories": [{"id": 1, "name": "cell"}]}


def of_coco(area: Any, crowd: int = 0) -> NDArray[np.bool_]:
    (image,) = coco.read(FILE, content(area, crowd)).images
    assert [shape.label for shape in image.shapes] == ["cell"]
    return rasterize(image.shapes, (WIDTH, HEIGHT))


def reference(area: Any) -> NDArray[np.bool_]:
    """What COCO's own API makes of an annotation."""
    api = COCO()
    api.dataset = content(area)
    api.createIndex()
    mask: NDArray[np.bool_] = api.annToMask(api.dataset["annotations"][0]) > 0
    return mask


def test_polygons_are_filled_as_by_cocos_own_api() -> None:
    rng, sizes = np.random.default_rng(0), []
    for _ in range(200):
        parts = random_parts(rng)
        found, expected = of_coco(parts), reference(parts)
        assert (found ^ expected).sum() <= 0.005 * max(1, expected.sum())
        sizes.append(expected.sum())
    assert np.median(sizes) > 500


@pytest.mark.parametrize("fill", ["noise", "empty", "full", "a large thing"])
def test_run_lengths_are_decoded_as_they_were_encoded(fill: str) -> None:
    rng = np.random.default_rng(1)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:] = {"noise": rng.integers(0, 2, mask.shape), "empty": 0, "full": 1, "a large thing": X > 31}[fill]
    encoded = coco_mask.encode(np.asfortranarray(mask))
    compressed = {"size": encoded["size"], "counts": encoded["counts"].decode()}
    np.testing.assert_array_equal(of_coco(compressed), mask > 0)
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat, prepend=0))
    counts = np.diff(edges, prepend=0, append=flat.size).tolist()
    np.testing.assert_array_equal(of_coco({"size": [HEIGHT, WIDTH], "counts": counts}, crowd=1), mask > 0)
    np.testing.assert_array_equal(reference({"size": [HEIGHT, WIDTH], "counts": counts}), mask > 0)


def test_a_compressed_encoding_of_long_runs() -> None:
    mask = np.zeros((3000, 2000), np.uint8, order="F")
    mask[7:2900, 60:1800] = 1
    mask[5, 1] = 1
    counts = coco.decompress(coco_mask.encode(mask)["counts"].decode(), "here")
    values = np.repeat(np.arange(len(counts)) % 2, counts)
    np.testing.assert_array_equal(values.reshape(mask.shape, order="F"), mask)


def of_labelme(kind: str, points: Any) -> NDArray[np.bool_]:
    shapes = [{"label": "cell", "shape_type": kind, "points": points}]
    found = labelme.read(FILE, {"shapes": shapes, "imagePath": "a.jpg"})
    return rasterize(found.images[0].shapes, (WIDTH, HEIGHT))


def of_cvat(element: str) -> NDArray[np.bool_]:
    xml = cvat_xml(f'<image id="0" name="a.jpg" width="{WIDTH}" height="{HEIGHT}">{element}</image>')
    reading = cvat.read(FILE, fromstring(xml))
    assert reading.classes == ["cell", "dust"]
    return rasterize(reading.images[0].shapes, (WIDTH, HEIGHT))


def near(found: NDArray[np.bool_], expected: NDArray[np.bool_], share: float = 0.005) -> None:
    assert expected.sum() > 400 and (found ^ expected).sum() <= share * expected.sum()


def test_rectangles_and_circles_of_labelme() -> None:
    box = (X > 10) & (X < 50) & (Y > 20) & (Y < 45)
    for corners in ([[10, 20], [50, 45]], [[50, 45], [10, 20]], [[10, 20], [50, 20], [50, 45], [10, 45]]):
        near(of_labelme("rectangle", corners), box)
    circle = (X - 60) ** 2 + (Y - 40) ** 2 < 25**2
    near(of_labelme("circle", [[60, 40], [75, 60]]), circle, 0.02)
    outside = (X - 10) ** 2 + (Y - 40) ** 2 < 25**2
    near(of_labelme("circle", [[10, 40], [10, 15]]), outside, 0.02)


def test_ai_masks_of_labelme_are_counted() -> None:
    shape = {
        "label": "cell",
        "shape_type": "mask",
        "points": [[7.0, 30.0], [27.0, 42.0]],
        "mask": "iVBORw0KGgo",
    }
    found = labelme.read(FILE, {"shapes": [shape], "imagePath": "a.jpg"})
    assert found.skipped == {"mask shapes": 1} and found.images[0].shapes == []


def test_boxes_ellipses_and_masks_of_cvat() -> None:
    box = '<box label="cell" xtl="10" ytl="20" xbr="50" ybr="45"/>'
    near(of_cvat(box), (X > 10) & (X < 50) & (Y > 20) & (Y < 45))
    turned = '<box label="cell" xtl="40" ytl="20" xbr="80" ybr="60" rotation="45"/>'
    near(of_cvat(turned), abs(X - 60) + abs(Y - 40) < 20 * 2**0.5, 0.03)
    lying = '<box label="cell" xtl="40" ytl="30" xbr="80" ybr="50" rotation="90.0"/>'
    near(of_cvat(lying), (X > 50) & (X < 70) & (Y > 20) & (Y < 60))
    ellipse = '<ellipse label="cell" cx="60.00" cy="40.00" rx="40.00" ry="20.00"/>'
    near(of_cvat(ellipse), ((X - 60) / 40) ** 2 + ((Y - 40) / 20) ** 2 < 1, 0.02)
    clockwise = '<ellipse label="cell" cx="60" cy="45" rx="40" ry="10" rotation="30"/>'
    assert of_cvat(clockwise)[58, 83] and not of_cvat(clockwise)[32, 83]
    mask = '<mask label="cell" rle="3, 2, 1, 4, 2" left="7" top="30" width="4" height="3"/>'
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[30:33, 7:11] = np.reshape([0, 0, 0, 1, 1, 0, 1, 1, 1, 1, 0, 0], (3, 4))
    np.testing.assert_array_equal(of_cvat(mask), expected)


def test_other_shapes_of_cvat_are_counted() -> None:
    drawn = '<points label="cell" points="3,4"/><polyline label="cell" points="3,4;5,6"/><tag label="dust"/>'
    xml = cvat_xml(f'<image id="0" name="a.jpg" width="9" height="9">{drawn}</image>')
    reading = cvat.read(FILE, fromstring(xml))
    assert reading.skipped == {"points shapes": 1, "polyline shapes": 1, "tag shapes": 1}
    assert reading.images[0].shapes == []


def test_a_video_of_cvat_is_refused() -> None:
    with pytest.raises(InputError, match="tracks of a video; export the task as `CVAT for images"):
        cvat.read(FILE, fromstring("<annotations><track id='0' label='cell'/></annotations>"))


def test_boxes_and_keypoints_of_coco_are_counted() -> None:
    data = content([[1, 2, 30, 4, 5, 60]])
    data["annotations"] += [{"id": 2, "image_id": 9, "category_id": 1, "segmentation": [[1, 2, 3, 4, 5, 6]]}]
    data["annotations"] += [{"id": 3, "image_id": 3, "category_id": 1, "bbox": [1, 2, 3, 4]}]
    assert coco.read(FILE, data).skipped == {
        "annotations without an area (boxes, keypoints)": 1,
        "annotations of images that are not listed": 1,
    }
