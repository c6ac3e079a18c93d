"""The rule from the objects of a dataset to settings, and how objects are measured."""

import re
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
from dvc.utils.hydra import apply_overrides
from hypothesis import given, settings
from hypothesis import strategies as st
from projects import ROOT

from segmentation import planning
from segmentation.common.geometry import Geometry, Mask
from segmentation.params import load_params
from segmentation.planning import Facts, choose_geometry, command, measure_objects


def facts(shape: tuple[int, int], *widths: float, images: int = 1) -> Facts:
    """Round objects of these widths in each of some images of one shape."""
    found = np.tile(np.array(widths, float), images)
    owners = np.repeat(np.arange(images), len(widths))
    return Facts(np.array([shape] * images), owners, np.pi / 4 * found**2, found)


def chosen(shape: tuple[int, int], *widths: float) -> tuple[str, int, float]:
    geometry = choose_geometry(facts(shape, *widths))
    return geometry.fit, geometry.size, geometry.scale


def test_the_rule_by_examples() -> None:
    assert chosen((500, 400), 150, 200, 250) == ("stretch", 128, 1)  # a pet fills its photo
    assert chosen((500, 400), 40, 50, 60) == ("stretch", 256, 1)
    assert chosen((500, 400), 10, 50, 60) == ("stretch", 256, 1)
    assert chosen((500, 400), *[5] * 3, 50, 60, 70, 80) == ("tiles", 256, 1)  # a tenth would be 3 pixels wide
    assert chosen((900, 400), 300, 300) == ("pad", 128, 1)
    assert chosen((2000, 3000), *range(12, 41)) == ("tiles", 128, 1)
    assert chosen((2000, 3000), *range(36, 120)) == ("tiles", 128, 0.25)
    assert chosen((4000, 6000), *range(150, 350, 5)) == ("tiles", 128, 1 / 16)
    assert chosen((512, 512), *[6] * 5, *[11] * 5, *[14] * 5) == ("tiles", 128, 1)  # thin membranes
    assert chosen((3000, 3000), *[10] * 20, *[90] * 80) == ("tiles", 256, 1)
    assert chosen((100, 120), 3, 4, 5) == ("stretch", 128, 1)  # nothing is lost


def test_images_that_a_network_sees_enlarged_do_not_hide_the_others() -> None:
    small, large = facts((64, 64), 10), facts((1000, 1000), 30)
    both = Facts(
        np.concatenate([small.shapes, large.shapes]),
        np.array([0, 1]),
        np.concatenate([small.areas, large.areas]),
        np.concatenate([small.widths, large.widths]),
    )
    assert choose_geometry(both).fit == "tiles"


@pytest.mark.parametrize(
    ("images", "steps", "fraction"), [(10, 300, 0.2), (49, 300, 0.2), (100, 600, None), (500, 1000, None)]
)
def test_steps_and_validation_follow_the_number_of_images(
    images: int, steps: int, fraction: float | None
) -> None:
    proposed = planning.settings(facts((300, 300), 100, images=images), batch_size=8)
    assert (proposed["train.min_steps"], proposed.get("data.val_fraction")) == (steps, fraction)


sides, any_width = st.integers(1, 20_000), st.floats(1, 2000)
datasets = st.lists(st.tuples(sides, sides, st.lists(any_width, max_size=5)), min_size=1, max_size=5).filter(
    lambda images: any(widths for *_, widths in images)
)


def made(images: list[tuple[int, int, list[float]]]) -> Facts:
    widths = np.array([width for *_, found in images for width in found])
    owners = np.repeat(np.arange(len(images)), [len(found) for *_, found in images])
    return Facts(np.array([image[:2] for image in images]), owners, np.pi / 4 * widths**2, widths)


@given(datasets, st.floats(1, 50))
@settings(deadline=None)
def test_what_is_proposed_is_valid_and_larger_objects_never_ask_for_tiles(
    images: list[tuple[int, int, list[float]]], factor: float
) -> None:
    data = made(images)
    geometry = choose_geometry(data)
    assert geometry.fit == "tiles" or geometry.scale == 1
    assert min(geometry.scale * data.shapes.min(), 1) == 1  # the split refuses what is less than a pixel
    assert choose_geometry(made(images[::-1])) == geometry
    assert choose_geometry(data._replace(shapes=data.shapes[:, ::-1])) == geometry  # turned
    larger = choose_geometry(data._replace(widths=data.widths * factor))
    assert geometry.fit == "tiles" or larger.fit == geometry.fit
    assert larger.fit != "tiles" or larger.scale <= geometry.scale


@given(datasets)
@settings(deadline=None)
def test_in_tiles_the_smallest_tenth_stays_sharp_or_nothing_is_lost(
    images: list[tuple[int, int, list[float]]],
) -> None:
    data = made(images)
    geometry = choose_geometry(data)
    if geometry.fit == "tiles" and geometry.scale < 1:
        assert np.percentile(data.widths, 10) * geometry.scale >= 8


def disc(radius: int, shape: tuple[int, int] = (200, 200)) -> Mask:
    mask = np.zeros(shape, np.uint8)
    cv2.circle(mask, (100, 100), radius, 1, -1)
    return mask


@pytest.mark.parametrize("radius", [3, 6, 10, 20, 50])
def test_the_width_of_a_disc_is_its_diameter(radius: int) -> None:
    (area,), (width,) = measure_objects(disc(radius))
    assert area == disc(radius).sum() and width == pytest.approx(2 * radius, abs=1.5, rel=0.05)


@pytest.mark.parametrize("side", [4, 8, 16, 50])
def test_a_square_is_as_wide_as_its_side_and_a_line_is_thin_however_long(side: int) -> None:
    mask = np.zeros((80, 1000), np.uint8)
    mask[5 : 5 + side, 20 : 20 + side] = 1
    assert measure_objects(mask)[1] == pytest.approx([side], rel=0.15)
    mask[5 : 5 + side, 20:980] = 1
    assert measure_objects(mask)[1] == pytest.approx([1.5 * side], rel=0.1)


def test_objects_are_8_connected_end_at_the_edge_and_are_not_specks() -> None:
    mask = np.zeros((60, 60), np.uint8)
    mask[0:20, 0:20] = mask[20:40, 20:40] = 1  # they touch at a corner
    mask[50:60, 50:60] = 1
    mask[45, 5] = 1  # under 1 % of the foreground
    areas, widths = measure_objects(mask)
    assert areas.tolist() == [100, 800] and widths == pytest.approx([10, 20], rel=0.1)
    for turned in (mask.T, mask[::-1], mask[:, ::-1]):
        again = measure_objects(np.ascontiguousarray(turned))
        assert again[0].tolist() == areas.tolist() and again[1] == pytest.approx(widths)
    mask[45, :3] = mask[47, ::2] = 1  # 33 more pixels: no longer a hundredth
    assert len(measure_objects(mask)[0]) > 2
    assert len(measure_objects(np.zeros((5, 5), np.uint8))[0]) == 0
    (area,), (width,) = measure_objects(np.ones((1, 1), np.uint8))
    assert area == 1 and width == pytest.approx(1, abs=0.2)


def test_objects_at_network_size_are_those_of_the_resized_mask() -> None:
    mask = disc(60, (200, 300))
    data = Facts(np.array([mask.shape]), np.array([0]), *measure_objects(mask))
    for geometry in (Geometry(64, "area"), Geometry(128, "area", "pad"), Geometry(64, "area", "tiles", 0.5)):
        (area,), _ = measure_objects(geometry.mask_to_network(mask))
        assert (data.areas * data.factors(geometry) ** 2).item() == pytest.approx(area, rel=0.02)


@pytest.mark.parametrize(
    "name", ["plain", "été (2)", "a, [b] {c}=d", "it's", 'a "b"', "back\\slash", "a,\"'b"]
)
def test_the_line_to_paste_sets_what_it_says(tmp_path: Path, name: str) -> None:
    file, folder = tmp_path / "params.yaml", Path("/data") / name
    file.write_bytes((ROOT / "params.yaml").read_bytes())
    line = command(planning.settings(facts((2000, 3000), *range(36, 120)), 8), folder)
    words = shlex.split(line)
    assert words[:3] == ["dvc", "exp", "run"] and set(words[3::2]) == {"-S"}
    apply_overrides(file, words[4::2])  # as DVC does
    params = load_params(file)
    assert (params.data.source, params.data.folder.path) == ("folder", str(folder))
    assert (params.image.fit, params.image.size, params.image.scale) == ("tiles", 128, 0.25)
    assert (params.train.min_steps, params.data.val_fraction) == (300, 0.2)


def test_the_rule_in_the_docs_names_the_numbers_of_the_code() -> None:
    page = re.sub(r"\s+", " ", (ROOT / "docs/own_images.md").read_text())
    for said in (
        f"{planning.SEEN[0]} pixels wide and the smallest tenth {planning.SEEN[1]}",
        f"smallest tenth is {planning.SHARP} pixels wide",
        " or else ".join(map(str, planning.SIZES)),
    ):
        assert said in page
