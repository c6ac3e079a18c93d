import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from projects import checked_split

from segmentation.common import dataset_layout as layout
from segmentation.common.artifacts import Split
from segmentation.common.geometry import Geometry
from segmentation.splitting.checks import check_dataset
from segmentation.splitting.near_duplicates import MAX_DISTANCE, difference_hash, near_duplicates
from segmentation.splitting.parts import describe_twins


def scene(seed: int, size: tuple[int, int] = (96, 64)) -> Image.Image:
    """An image that is like no other: soft blobs of random brightness."""
    small = np.random.default_rng(seed).integers(0, 256, (8, 12, 3), np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=40)
    return Image.open(buffer)


CHANGES = {
    "the same": lambda image: image,
    "compressed": jpeg,
    "half the size": lambda image: image.resize((48, 32), Image.Resampling.BILINEAR),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "grey": lambda image: image.convert("L").convert("RGB"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_copies_are_near_duplicates(change: str) -> None:
    hashes = {str(i): difference_hash(scene(i)) for i in range(30)}
    hashes["copy"] = difference_hash(CHANGES[change](scene(7)))
    assert near_duplicates(hashes) == [["7", "copy"]]


def flipped(bits: int) -> bytes:
    """A hash of which half of the bits are set, but for the first `bits`, which are the other way round."""
    return np.packbits((np.arange(256) % 2 == 0) ^ (np.arange(256) < bits)).tobytes()


def test_the_limit_is_exact_and_groups_are_transitive() -> None:
    chain = {str(bits): flipped(bits) for bits in (0, MAX_DISTANCE, 2 * MAX_DISTANCE)}
    assert near_duplicates(chain) == [list(chain)]
    assert near_duplicates({"a": flipped(0), "b": flipped(MAX_DISTANCE + 1)}) == []
    assert near_duplicates({}) == []


def test_groups_are_those_of_comparing_all_pairs() -> None:
    rng, count = np.random.default_rng(0), 1500  # several blocks of rows
    bits = rng.integers(0, 2, (count, 256)).astype(bool)
    for copy in range(0, count, 3):  # of another image that may itself be a copy, anywhere in the list
        bits[copy] = bits[rng.integers(count)] ^ (rng.random(256) < 0.04)
    found = near_duplicates({str(i): np.packbits(row).tobytes() for i, row in enumerate(bits)})
    near = [set(np.flatnonzero((row ^ bits).sum(axis=1) <= MAX_DISTANCE).tolist()) for row in bits]
    expected, seen = [], set[int]()
    for start in range(count):
        if start not in seen:
            group, new = {start}, {start}
            while new := set().union(*(near[i] for i in new)) - group:
                group |= new
            seen |= group
            expected += [[str(i) for i in sorted(group)]] if len(group) > 1 else []
    assert found == expected and any(len(group) > 2 for group in found)


def checked_and_described(raw: Path, val_fraction: float, **others: Any) -> tuple[Split, list[str]]:
    split = checked_split(raw, val_fraction, **others)
    return split, describe_twins(split, check_dataset(raw, ["pet"], Geometry(64)))


def make_dataset(raw: Path, scenes: list[Image.Image], lists: bool = False) -> list[str]:
    """Write a dataset of these images, with lists in which every fifth tests."""
    (raw / layout.IMAGES).mkdir()
    (raw / layout.TRIMAPS).mkdir(parents=True)
    ids = [f"{i:03}" for i in range(len(scenes))]
    for image_id, image in zip(ids, scenes, strict=True):
        image.save(layout.image_path(raw, image_id), "PNG")
        trimap = np.resize(np.array([1, 2], np.uint8), (image.height, image.width))
        Image.fromarray(trimap).save(layout.trimap_path(raw, image_id))
    members = {layout.LIST: ids}
    if lists:
        members |= {layout.TEST: ids[::5], layout.TRAINVAL: [name for i, name in enumerate(ids) if i % 5]}
    for path, named in members.items():
        (raw / path).write_text("".join(f"{name}\n" for name in named))
    return ids


def test_near_duplicates_across_listed_parts_are_named_and_left(tmp_path: Path) -> None:
    scenes = [scene(i) for i in range(20)]
    scenes[11], scenes[6] = jpeg(scenes[10]), scenes[7]  # 10 tests; 6, 7 and 11 do not
    make_dataset(tmp_path, scenes, lists=True)
    split, said = checked_and_described(tmp_path, 0.1)
    assert split["test"] == ["000", "005", "010", "015"]
    assert split["twins"] == [["006", "007"], ["011", "010"]]  # as listed, trainval first
    assert said[0] == "groups of near-duplicate images: 2, with 4 images"
    assert "in different parts: 1, the first with 011 (train) and 010 (test)" in said[1]
    assert len(said) == 2


def test_twins_are_of_the_images_that_are_used(tmp_path: Path) -> None:
    scenes = [scene(i) for i in range(20)]
    scenes[3] = scenes[2]
    make_dataset(tmp_path, scenes, lists=True)
    assert checked_split(tmp_path, 0.1)["twins"] == [["002", "003"]]
    assert checked_split(tmp_path, 0.1, limit=1)["twins"] == []


@pytest.mark.parametrize("burst", [3, 6])
def test_a_random_split_keeps_near_duplicates_together(tmp_path: Path, burst: int) -> None:
    scenes = [scene(i // burst) for i in range(30)]
    ids = make_dataset(tmp_path, scenes)
    for seed in range(10):
        split, said = checked_and_described(tmp_path, 0.15, seed=seed, test_fraction=0.2)
        assert sorted(split["train"] + split["val"] + split["test"]) == ids
        assert len(split["test"]) == 6 and len(split["val"]) == burst
        assert len(split["twins"]) == 30 // burst and len(said) == 1  # none across parts


def test_groups_that_fill_a_part_are_dealt_out_with_a_warning(tmp_path: Path) -> None:
    make_dataset(tmp_path, [scene(i // 10) for i in range(30)])
    split, said = checked_and_described(tmp_path, 0.2)
    assert len(split["test"]) == 6 and len(split["val"]) == 5
    assert len(split["twins"]) == 3 and "warning: groups in different parts: 3" in said[1]


@pytest.mark.parametrize("alike", [[3, 1], [3, 3], [3, 2], [2, 2, 1], [3, 1, 1], [5, 1, 1, 1]])
def test_small_sets_fill_every_part(tmp_path: Path, alike: list[int]) -> None:
    make_dataset(tmp_path, [scene(i) for i, count in enumerate(alike) for _ in range(count)])
    for seed in range(20):
        split = checked_split(tmp_path, 0.1, seed=seed, test_fraction=0.2)
        assert split["train"] and split["val"] and split["test"]


def even(i: int) -> Image.Image:
    """A surface, or a gradient, in which one cell shows a dot."""
    image = np.tile(np.linspace(0, 90 * (i % 2), 96), (64, 1)).astype(np.uint8)
    image[10:14, 5 + 4 * i : 9 + 4 * i] = 200
    return Image.fromarray(np.stack([image] * 3, axis=-1))


def test_images_that_show_little_are_named_and_not_compared(tmp_path: Path) -> None:
    assert near_duplicates({str(i): difference_hash(even(i)) for i in range(8)}) == []
    make_dataset(tmp_path, [even(i) if i < 10 else scene(i) for i in range(40)])
    split, said = checked_and_described(tmp_path, 0.2, test_fraction=0.5)
    assert split["twins"] == [] and len(split["test"]) == 20 and len(split["val"]) == 4
    assert len(said) == 1
    assert said[0].startswith("images that show too little to know near-duplicates: 10, the first 0")


def test_the_random_split_repeats_and_depends_on_the_seed(tmp_path: Path) -> None:
    make_dataset(tmp_path, [scene(i) for i in range(40)])
    first, again, other = (checked_split(tmp_path, 0.1, seed=seed) for seed in (0, 0, 1))
    assert first == again and first["test"] != other["test"]
    layout.image_path(tmp_path, first["train"][0]).write_text("broken")
    broken = checked_split(tmp_path, 0.1, max_dropped=0.1)
    assert broken["test"] == first["test"] and broken["val"] == first["val"]


@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.94])
def test_every_part_gets_an_image(tmp_path: Path, fraction: float) -> None:
    make_dataset(tmp_path, [scene(i) for i in range(40)])
    split = checked_split(tmp_path, fraction if fraction < 0.9 else 0.5, test_fraction=fraction)
    assert split["train"] and split["val"] and len(split["test"]) == max(1, round(40 * fraction))
