"""Folders as labelling tools export them, written by the formats' own rules.

Each has ten images of a bright "cell" and, in every other one, of a "dust" grain: COCO's masks come from
pycocotools' encoder, VOC's from Pillow's palettes, LabelMe's and CVAT's files follow the published examples.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as coco_mask
from numpy.typing import NDArray
from PIL import Image, ImageDraw

COUNT = 10
CELL, DUST = "#800000", "#008000"  # VOC's first two colours

Corners = list[tuple[float, float]]


def outlines(number: int) -> dict[str, Corners]:
    """The corners of what is in an image, by class."""
    rng = np.random.default_rng(number)
    x, y = (float(rng.integers(22, 30)) for _ in range(2))
    angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
    cell = [(round(x + 16 * np.cos(angle), 2), round(y + 13 * np.sin(angle), 2)) for angle in angles]
    dust = [(50.0, 30.0), (60.5, 31.0), (58.0, 44.5)]
    return {"cell": cell} | ({"dust": dust} if number % 2 else {})


def size(number: int) -> tuple[int, int]:
    return 64 + number, 48 + number // 2


def filled(corners: Corners, number: int) -> NDArray[np.uint8]:
    """What COCO's own tools make of a polygon."""
    width, height = size(number)
    flat = [[value for corner in corners for value in corner]]
    found: NDArray[np.uint8] = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(flat, height, width)))
    return found


def write_image(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.random.default_rng(number).integers(0, 60, size(number)[::-1], np.uint8))
    for name, corners in outlines(number).items():
        ImageDraw.Draw(image).polygon(corners, 200 if name == "cell" else 120)
    image.convert("RGB").save(path)


def coco(file: Path, names: dict[int, str], rle: bool = False) -> dict[str, Any]:
    """Write a COCO JSON about the images of the numbers, called by these names."""
    images, annotations = list[Any](), list[Any]()
    for number, name in names.items():
        width, height = size(number)
        images.append({"id": number + 7, "width": width, "height": height, "file_name": name})
        for label, corners in outlines(number).items():
            area: Any = [[value for corner in corners for value in corner]]
            if rle:
                area = coco_mask.encode(np.asfortranarray(filled(corners, number)))
                area["counts"] = area["counts"].decode()
            category = 1 if label == "cell" else 2
            entry = {
                "image_id": number + 7,
                "category_id": category,
                "segmentation": area,
                "iscrowd": int(rle),
            }
            annotations.append(entry | {"id": len(annotations) + 1, "bbox": [0, 0, 9, 9], "area": 81.0})
    categories = [{"id": 1, "name": "cell", "supercategory": ""}, {"id": 2, "name": "dust"}]
    content = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
    return content


def cvat_as_coco(own: Path) -> None:
    for number in range(COUNT):
        write_image(own / f"images/default/{number}.jpg", number)
    coco(own / "annotations/instances_default.json", {n: f"{n}.jpg" for n in range(COUNT)}, rle=True)


def label_studio(own: Path) -> None:
    for number in range(COUNT):
        write_image(own / f"images/1f3a-{number}.jpg", number)
    coco(own / "result.json", {n: f"images\\1f3a-{n}.jpg" for n in range(COUNT)})


def roboflow(own: Path) -> None:
    for part, numbers in {"train": range(6), "valid": range(6, 8), "test": range(8, COUNT)}.items():
        for number in numbers:
            write_image(own / part / f"{number}_jpg.rf.0c1d.jpg", number)
        coco(own / part / "_annotations.coco.json", {n: f"{n}_jpg.rf.0c1d.jpg" for n in numbers})


def makesense(own: Path) -> None:
    for number in range(COUNT):
        write_image(own / f"images/{number}.jpg", number)
    coco(own / "labels_my-project_2026-11-30.json", {n: f"{n}.JPG" for n in range(COUNT)})


def labelme(own: Path) -> None:
    for number in range(COUNT):
        write_image(own / f"{number}.jpg", number)
        shapes: list[Any] = [
            {"label": label, "points": corners, "group_id": None, "description": "", "shape_type": "polygon",
             "flags": {}, "mask": None}
            for label, corners in outlines(number).items()
        ]  # fmt: skip
        content = {
            "version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": f"{number}.jpg",
            "imageData": "/9j/4AAQSkZJRg", "imageHeight": size(number)[1], "imageWidth": size(number)[0],
        }  # fmt: skip
        (own / f"{number}.json").write_text(json.dumps(content, indent=2))


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>12</id>
      <name>cells</name>
      <labels>
        <label><name>cell</name><color>#fa3253</color><type>any</type><attributes></attributes></label>
        <label><name>dust</name><color>#32b7fa</color><type>any</type><attributes></attributes></label>
      </labels>
    </task>
    <dumped>2026-11-30 09:12:44.120042+00:00</dumped>
  </meta>
{images}
</annotations>
"""


def cvat_xml(images: str) -> str:
    return CVAT.replace("{images}", images)


def cvat(own: Path) -> None:
    entries = []
    for number in range(COUNT):
        write_image(own / f"images/{number}.jpg", number)
        width, height = size(number)
        drawn = [
            f'    <polygon label="{label}" source="manual" occluded="0" points="'
            + ";".join(f"{x:.2f},{y:.2f}" for x, y in corners)
            + '" z_order="0">\n    </polygon>'
            for label, corners in outlines(number).items()
        ]
        start = (
            f'  <image id="{number}" name="{number}.jpg" subset="default" width="{width}" height="{height}">'
        )
        entries.append("\n".join([start, *drawn, "  </image>"]))
    (own / "annotations.xml").write_text(cvat_xml("\n".join(entries)))


def value_mask(number: int) -> Image.Image:
    """0 is background, 1 cell, 2 dust."""
    mask = np.zeros(size(number)[::-1], np.uint8)
    for value, (_, corners) in enumerate(outlines(number).items(), 1):
        mask[filled(corners, number) > 0] = value
    return Image.fromarray(mask)


def colored_mask(number: int) -> Image.Image:
    mask = value_mask(number)
    mask.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    return mask


def cvat_as_voc(own: Path) -> None:
    (own / "SegmentationClass").mkdir(parents=True)
    for number in range(COUNT):
        write_image(own / f"JPEGImages/{number}.jpg", number)
        colored_mask(number).save(own / f"SegmentationClass/{number}.png")
    (own / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncell:128,0,0::\ndust:0,128,0::\n"
    )


def masks(own: Path, mask: Callable[[int], Image.Image] = value_mask, name: str = "{}.png") -> None:
    (own / "masks").mkdir(parents=True)
    for number in range(COUNT):
        write_image(own / f"images/{number}.jpg", number)
        mask(number).save(own / "masks" / name.format(number))


def colored_masks(own: Path) -> None:
    masks(own, lambda number: colored_mask(number).convert("RGB"))


# Each row of the table in docs/own_images.md: what is exported, and how the class "cell" is named.
EXPORTS: dict[str, tuple[Callable[[Path], None], list[Any]]] = {
    "LabelMe": (labelme, ["cell"]),
    "CVAT, CVAT for images": (cvat, ["cell"]),
    "CVAT, COCO": (cvat_as_coco, ["cell"]),
    "CVAT, Segmentation mask": (cvat_as_voc, ["cell"]),
    "Label Studio": (label_studio, ["cell"]),
    "Roboflow": (roboflow, ["cell"]),
    "makesense.ai": (makesense, ["cell"]),
    "masks of values": (masks, [1]),
    "masks of colours": (colored_masks, [CELL]),
}
