"""Which images train, validate and test."""

import hashlib
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np

from segmentation.common.artifacts import Dropped, Split
from segmentation.common.dataset_layout import TEST, TRAINVAL, has_lists, read_list
from segmentation.common.errors import InputError
from segmentation.common.seeds import Purpose, stream
from segmentation.params import Data
from segmentation.splitting.checks import Checked
from segmentation.splitting.near_duplicates import near_duplicates, shows_little

MAX_REASONS = 5  # unusable images that an error names
LARGEST_GROUP = 0.2  # share of the images up to which near-duplicates are kept in one part

Parts = dict[str, list[str]]  # train, val and test


def evenly_spaced(count: int, share: float) -> list[bool]:
    """Mark a share of `count` positions, evenly spaced, the first one included.

    A share of 0.1 marks positions 0, 10, 20, …: the lab report's `index % 10 == 0`.
    """
    exact = Fraction(str(share))  # 0.1 is 1/10 here, so that position 30 is not lost to rounding
    return [ceil(i * exact) < ceil((i + 1) * exact) for i in range(count)]


def split_dataset(raw: Path, data: Data, checked: Mapping[str, Checked]) -> Split:
    """Split the dataset in folder `raw`; `checked` is what `check_dataset` returned.

    By its lists, of whose trainval.txt the share `data.val_fraction` validates, evenly spaced and counted
    before anything is dropped. Without lists at random, by `data.seed`. Of what trains, `data.limit` evenly
    spaced images are kept. Raises `InputError` if more than the share `data.max_dropped` of the images is
    unusable, or if a part is left empty.
    """
    dropped = [Dropped(id=image_id, reason=pair.reason) for image_id, pair in checked.items() if pair.reason]
    if len(dropped) > data.max_dropped * len(checked):
        reasons = "; ".join(image["reason"] for image in dropped[:MAX_REASONS])
        raise InputError(
            f"{len(dropped)} of {len(checked)} images are unusable, more than data.max_dropped "
            f"= {data.max_dropped} allows; fix them or raise it. The first: {reasons}"
        )
    usable = {image_id: pair for image_id, pair in checked.items() if not pair.reason}
    twins = near_duplicates({image_id: pair.image_hash for image_id, pair in usable.items()})
    listed = _by_lists(raw, data) if has_lists(raw) else _at_random(list(checked), twins, data)
    parts = {part: [image_id for image_id in ids if image_id in usable] for part, ids in listed.items()}
    if data.limit and data.limit < len(train := parts["train"]):
        parts["train"] = [train[i * len(train) // data.limit] for i in range(data.limit)]
    for part, ids in parts.items():
        if not ids:
            fix = "the lists" if has_lists(raw) else "data.folder.test_fraction and data.val_fraction"
            raise InputError(f"{raw}: the {part} part is empty; add images, or fix {fix}")
    used = {image_id: usable[image_id].sha256 for ids in parts.values() for image_id in ids}
    twins = [[image_id for image_id in group if image_id in used] for group in twins]
    hashes = "".join(f"{image_id} {sha256}\n" for image_id, sha256 in used.items())
    return Split(
        train=parts["train"],
        val=parts["val"],
        test=parts["test"],
        dropped=dropped,
        twins=[group for group in twins if len(group) > 1],
        sha256=hashlib.sha256(hashes.encode()).hexdigest(),
    )


def describe_twins(split: Split, checked: Mapping[str, Checked]) -> list[str]:
    """Return lines about near-duplicate images; those across parts make scores too good."""
    part_of = {image_id: part for part in ("train", "val", "test") for image_id in split[part]}
    lines = []
    if blank := [image_id for image_id in part_of if shows_little(checked[image_id].image_hash)]:
        lines += [f"images that show too little to know near-duplicates: {len(blank)}, the first {blank[0]}"]
    if groups := split["twins"]:
        lines.append(f"groups of near-duplicate images: {len(groups)}, with {sum(map(len, groups))} images")
    if apart := [group for group in groups if len({part_of[image_id] for image_id in group}) > 1]:
        first = apart[0][0]
        other = next(image_id for image_id in apart[0] if part_of[image_id] != part_of[first])
        lines.append(
            f"warning: groups in different parts: {len(apart)}, the first with {first} ({part_of[first]})"
            f" and {other} ({part_of[other]}); scores on them may be too good"
        )
    return lines


def _by_lists(raw: Path, data: Data) -> Parts:
    trainval = read_list(raw / TRAINVAL)
    validates = evenly_spaced(len(trainval), data.val_fraction)
    return {
        "train": [image_id for image_id, val in zip(trainval, validates, strict=True) if not val],
        "val": [image_id for image_id, val in zip(trainval, validates, strict=True) if val],
        "test": read_list(raw / TEST),
    }


def _at_random(ids: Sequence[str], twins: Sequence[Sequence[str]], data: Data) -> Parts:
    """Deal out the images; near-duplicates stay together, unless they are more than a fifth of all."""
    testing = max(1, round(data.folder.test_fraction * len(ids)))
    validating = max(1, round(data.val_fraction * (len(ids) - testing)))
    wanted = {"test": testing, "val": validating, "train": len(ids) - testing - validating}
    together = [group for group in twins if len(group) <= LARGEST_GROUP * len(ids)]
    grouped = {image_id for group in together for image_id in group}
    units = [*together, *([image_id] for image_id in ids if image_id not in grouped)]
    if len(units) < len(wanted):
        units = [[image_id] for image_id in ids]
    order = np.random.default_rng(stream(Purpose.SPLIT, data.seed)).permutation(len(units))
    parts: Parts = {"train": [], "val": [], "test": []}
    for left, unit in zip(range(len(units), 0, -1), order, strict=True):
        empty = [part for part in wanted if not parts[part]]
        open_parts = empty if left <= len(empty) else list(wanted)
        neediest = max(open_parts, key=lambda part: wanted[part] - len(parts[part]))
        parts[neediest] += units[unit]
    return parts
