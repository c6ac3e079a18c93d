"""Masks of many kinds in a person's folder: which values are foreground, and what is said about them."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from own_folder import change_masks, own_folder, written
from PIL import Image

from segmentation.common import dataset_layout as layout
from segmentation.common.errors import InputError
from segmentation.common.geometry import Geometry
from segmentation.common.image_io import read_trimap
from segmentation.splitting.checks import check_dataset, describe


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return own_folder(tmp_path / "own")


@pytest.mark.parametrize(
    "change",
    [
        lambda mask: (mask > 0).astype(np.uint8),
        lambda mask: Image.fromarray(mask).convert("P"),
        lambda mask: Image.merge(
            "RGBA", [Image.fromarray(mask)] * 3 + [Image.new("L", mask.shape[::-1], 255)]
        ),
    ],
    ids=["0 and 1", "palette", "RGBA"],
)
def test_masks_of_two_values_need_no_rule(own: Path, change: object) -> None:
    before = [np.asarray(Image.open(own / f"masks/{n}.png")) > 0 for n in range(10)]
    change_masks(own, change)
    raw, said = written(own)
    assert "warning" not in said
    for number, expected in enumerate(before):
        found = read_trimap(layout.trimap_path(raw, str(number))) == layout.PET
        np.testing.assert_array_equal(found, expected)


def test_soft_edges_are_named_with_the_rule_and_a_threshold_changes_it(own: Path) -> None:
    soft = Image.open(own / "masks/3.png").resize((16, 8)).resize((64, 32), Image.Resampling.BILINEAR)
    soft.save(own / "masks/3.png")
    values = np.asarray(soft)
    for threshold, foreground, rule in (
        (None, values != 0, "any value but 0"),
        (128, values >= 128, "least 128"),
    ):
        raw, said = written(own, mask_threshold=threshold)
        assert "warning: masks with more than two values: 1, the first" in said and rule in said
        assert "masks/3.png" in said and "data.folder.mask_threshold" in said
        pet = read_trimap(layout.trimap_path(raw, "3")) == layout.PET
        np.testing.assert_array_equal(pet, foreground)


def test_masks_below_the_threshold_do_not_train_unnoticed(own: Path) -> None:
    change_masks(own, lambda mask: mask // 255)
    _, said = written(own, mask_threshold=128)
    assert "masks that count as empty: 10, the first" in said and "mask_threshold = 128" in said
    assert "warning" not in written(own, mask_threshold=1)[1]


@pytest.mark.parametrize(
    ("change", "threshold"),
    [(lambda mask: np.where(mask > 0, 2, 1).astype(np.uint8), 2), (lambda mask: np.maximum(mask, 3), 4)],
    ids=["labels 1 and 2", "a black level of 3"],
)
def test_masks_without_background_do_not_train_unnoticed(own: Path, change: object, threshold: int) -> None:
    change_masks(own, change)
    raw, _ = written(own)
    warning = describe(check_dataset(raw, ["pet"], Geometry(64)))[2]
    assert (
        warning.startswith("warning: masks without any background: 10, the first")
        and "mask_threshold" in warning
    )
    raw, _ = written(own, mask_threshold=threshold)
    assert "warning" not in "".join(describe(check_dataset(raw, ["pet"], Geometry(64))))


def test_inverted_masks_do_not_train_unnoticed(own: Path) -> None:
    change_masks(own, lambda mask: 255 - mask)
    raw, _ = written(own)
    assert "if they are inverted, invert them" in describe(check_dataset(raw, ["pet"], Geometry(64)))[-1]


def test_colours_count_as_values(own: Path) -> None:
    colours = np.zeros((40, 60, 3), np.uint8)
    colours[5:15, 5:15], colours[20:30, 20:30] = (255, 0, 0), (0, 255, 0)
    Image.fromarray(colours).save(own / "masks/0.png")
    assert "masks with more than two values: 1, the first" in written(own)[1]


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "JPEG2000", "TIFF"])
def test_lossy_masks_are_refused_by_content(own: Path, kind: str) -> None:
    path = own / "masks/3.png"
    options = {"compression": "jpeg"} if kind == "TIFF" else {}
    Image.open(path).convert("RGB").save(path, kind, **options)
    with pytest.raises(InputError, match=r"masks/3\.png: masks must be lossless"):
        written(own)


def test_one_full_mask_does_not_hide_that_all_are_inverted(own: Path) -> None:
    change_masks(own, lambda mask: 255 - mask)
    Image.new("L", (60, 40), 255).save(own / "masks/0.png")
    warnings = describe(check_dataset(written(own)[0], ["pet"], Geometry(64)))[2:]
    assert len(warnings) == 2 and "without any background: 1" in warnings[0] and "inverted" in warnings[1]


@pytest.mark.parametrize("scale", [1 / 255, 257.0, 0.01 / 255])
def test_masks_of_floats_have_the_rules_of_whole_numbers(own: Path, scale: float) -> None:
    edges = Image.open(own / "masks/3.png").resize((16, 8)).resize((64, 32), Image.Resampling.BILINEAR)
    for number in range(10):
        soft = edges if number == 3 else Image.open(own / f"masks/{number}.png")
        Image.fromarray(np.asarray(soft, np.float32) * np.float32(scale)).save(own / f"masks/{number}.tif")
        (own / f"masks/{number}.png").unlink()
    raw, said = written(own)
    assert "warning: masks with more than two values: 1, the first" in said and "masks/3.tif" in said
    raw, said = written(own, mask_threshold=128 * scale)
    pet = read_trimap(layout.trimap_path(raw, "3")) == layout.PET
    np.testing.assert_array_equal(pet, np.asarray(edges) >= 128)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_masks_of_no_numbers_are_named(own: Path, value: float, recwarn: pytest.WarningsRecorder) -> None:
    mask = np.zeros((32, 64), np.float32)
    mask[3, 4] = value
    (own / "masks/3.png").unlink()
    Image.fromarray(mask).save(own / "masks/3.tif")
    with pytest.raises(InputError, match=r"masks/3\.tif: holds NaN or infinity"):
        written(own)
    assert not recwarn.list


def indexed(mask: Image.Image, palette: list[int], inverted: bool) -> Image.Image:
    """A mask whose values are the numbers of two colours."""
    values = (np.asarray(mask) > 0) ^ inverted
    image = Image.fromarray(values.astype(np.uint8))
    image.putpalette(palette)
    return image


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP"])
def test_a_black_and_white_palette_means_its_colours_in_any_order(own: Path, kind: str) -> None:
    before = [np.asarray(Image.open(own / f"masks/{n}.png")) > 0 for n in range(10)]
    for number in range(10):
        mask = Image.open(own / f"masks/{number}.png")
        (own / f"masks/{number}.png").unlink()
        indexed(mask, [255] * 3 + [0] * 3, inverted=True).save(own / f"masks/{number}.{kind.lower()}", kind)
    quantized = Image.fromarray(np.uint8(255 * before[4])).convert("RGB").quantize(2)
    (own / f"masks/4.{kind.lower()}").unlink()
    quantized.save(own / "masks/4.png")
    raw, said = written(own)
    assert "warning" not in said and "palette" not in said
    for number, expected in enumerate(before):
        found = read_trimap(layout.trimap_path(raw, str(number))) == layout.PET
        np.testing.assert_array_equal(found, expected)


def test_a_coloured_palette_means_its_numbers_and_is_named(own: Path) -> None:
    before = np.asarray(Image.open(own / "masks/0.png")) > 0
    indexed(Image.open(own / "masks/0.png"), [255, 255, 255, 128, 0, 0], inverted=False).save(
        own / "masks/0.png"
    )
    raw, said = written(own)
    assert "masks with a coloured palette: 1, the first" in said and "0 is background" in said
    np.testing.assert_array_equal(read_trimap(layout.trimap_path(raw, "0")) == layout.PET, before)


def labels(own: Path) -> np.ndarray:
    """Give each mask the values 0, 3 and 9; return that of image 3."""
    rng = np.random.default_rng(0)
    change_masks(own, lambda mask: np.where(mask > 0, rng.choice([3, 9], mask.shape), 0).astype(np.uint8))
    return np.asarray(Image.open(own / "masks/3.png"))


@pytest.mark.parametrize("classes", [["3"], ["9"], ["3", "9"], ["0"]])
def test_classes_of_masks_are_values(own: Path, classes: list[str]) -> None:
    before = labels(own)
    raw, said = written(own, classes=classes)
    pet = read_trimap(layout.trimap_path(raw, "3")) == layout.PET
    np.testing.assert_array_equal(pet, np.isin(before, [int(name) for name in classes]))
    assert f"masks by class: 0 (10), 3 (10), 9 (10); foreground: {', '.join(classes)}" in said
    assert "warning" not in said


@pytest.mark.parametrize("kind", ["palette", "RGB", "RGBA"])
def test_classes_of_coloured_masks_are_colours_or_numbers_of_colours(own: Path, kind: str) -> None:
    before = labels(own)
    palette = [0] * 9 + [255, 0, 0] + [9] * 15 + [0, 0, 254]

    def colour(mask: np.ndarray) -> Image.Image:
        image = Image.fromarray(mask)
        image.putpalette(palette)
        return image if kind == "palette" else image.convert(kind)

    change_masks(own, colour)
    values = {"#ff0000": 3, "#0000fe": 9, "#000000": 0} | ({"9": 9} if kind == "palette" else {})
    for name, value in values.items():
        raw, _ = written(own, classes=[name])
        pet = read_trimap(layout.trimap_path(raw, "3")) == layout.PET
        np.testing.assert_array_equal(pet, before == value)


@pytest.mark.parametrize("name", ["#FF0000", "#Ff0000"])
def test_colours_of_classes_are_written_in_any_case(own: Path, name: str) -> None:
    before = labels(own)
    colors = np.zeros((10, 3), np.uint8)
    colors[3], colors[9] = (255, 0, 0), (0, 0, 254)
    change_masks(own, lambda mask: colors[mask])
    raw, said = written(own, classes=[name])
    pet = read_trimap(layout.trimap_path(raw, "3")) == layout.PET
    np.testing.assert_array_equal(pet, before == 3)
    assert "foreground: #ff0000" in said


@pytest.mark.parametrize("mode", ["RGB", "I;16"])
def test_a_photo_given_as_a_mask_of_classes_is_refused_in_little_memory(own: Path, mode: str) -> None:
    size = (1200, 1600)
    values = np.random.default_rng(0).integers(0, 65536, (*size, 2), np.uint16)
    photo = values[..., 0] if mode == "I;16" else values.view(np.uint8)[..., :3]
    Image.fromarray(photo).save(own / "masks/3.png", compress_level=1)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"masks/3\.png: has [\d,]+ colours or values, as photos have"):
        written(own, classes=["1"])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * values[..., 0].size


def test_a_broken_mask_of_classes_is_left_to_the_split(own: Path) -> None:
    labels(own)
    (own / "masks/4.png").write_bytes(b"broken")
    raw, _ = written(own, classes=["9"])
    assert "does not decode" in (check_dataset(raw, ["pet"], Geometry(64))["4"].reason or "")


@pytest.mark.parametrize("suffix", ["_mask", "_seg", "-mask", "_label", "_annotation", ".png"])
def test_what_all_masks_have_after_the_name_of_their_image_is_left_out(own: Path, suffix: str) -> None:
    for name in ("images", "masks"):
        (own / name / "more").mkdir()
        (own / name / "3.png").rename(own / name / "more/3.png")
    expected = written(own)[0]
    for path in list((own / "masks").rglob("*.png")):
        path.rename(path.with_name(f"{path.stem}{suffix}.png"))
    raw, said = written(own)
    assert (
        said.startswith("10 images, 10 masks\nmasks are named like their images, with ")
        and suffix[1:] in said
    )
    for path in expected.rglob("*.png"):
        assert (raw / path.relative_to(expected)).read_bytes() == path.read_bytes()
    (own / f"masks/4{suffix}.png").rename(own / "masks/4.png")  # one without: nothing is guessed
    assert "masks without an image: 9" in written(own)[1]
