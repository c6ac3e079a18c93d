"""What a dataset asks for: how large its objects are in what networks see, and the settings that fit them.

After nnU-Net (Isensee et al. 2021), which plans scale, window and steps from the fingerprint of a dataset.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from segmentation.common.cores import usable_cores
from segmentation.common.dataset_layout import LIST, TRAINVAL, has_lists, read_list, trimap_path
from segmentation.common.errors import InputError
from segmentation.common.geometry import Geometry, Mask
from segmentation.common.image_io import foreground_mask, read_trimap
from segmentation.common.progress import progress
from segmentation.scoring.scores import Values
from segmentation.splitting.checks import Checked, check_pair, describe
from segmentation.training.crops import crops_per_epoch

SIZES, SCALES = (128, 256), (1 / 16, 1 / 8, 1 / 4, 1 / 2)
SHARES = 50, 10  # percentiles of width: the median object, the smallest tenth
SEEN = 16, 4  # network pixels of width that these need in a whole image
SHARP = 8  # network pixels of width that the smallest tenth needs in tiles
SPECKS = 0.01  # of an image's foreground: its smallest objects that make no more than this together


class Facts(NamedTuple):
    """The images of a dataset and their objects: 8-connected components of the foreground, without specks."""

    shapes: NDArray[Any]  # (images, 2): height and width in pixels
    owners: NDArray[Any]  # (objects,): the index of the image that each is in
    areas: Values  # (objects,), in pixels
    widths: Values  # (objects,), in pixels

    def factors(self, geometry: Geometry) -> Values:
        """Return the factor by which each object is resized, `(objects,)`: the mean of both directions."""
        seen = np.array([geometry.network_shape(*shape) for shape in self.shapes.tolist()])
        return np.sqrt((seen / self.shapes).prod(axis=1))[self.owners]


def measure_objects(mask: Mask) -> tuple[Values, Values]:
    """Return area and width in pixels, `(objects,)` each, of the objects of a mask `(H, W)` of 0 and 1.

    The width is six times the mean distance to the background: the diameter of a disc, the side of a square,
    1.5 times the width of a line, whose area would hide that it is thin. Outside the image is background.
    """
    framed = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inside = framed > 0
    labels = cv2.connectedComponents(framed, connectivity=8)[1][inside]
    distances = cv2.distanceTransform(framed, cv2.DIST_L2, 5)[inside] - 0.5  # to the edge of a pixel
    areas = np.bincount(labels)[1:].astype(np.float64)
    widths = 6 * np.bincount(labels, distances)[1:] / areas
    widths = np.minimum(widths, 2 * np.sqrt(areas / np.pi))  # of a few pixels, the distances are too long
    order = np.argsort(areas)
    kept = order[np.cumsum(areas[order]) > SPECKS * areas.sum()]
    return areas[kept], widths[kept]


def measure(raw: Path, foreground: Sequence[str]) -> tuple[Facts, list[str]]:
    """Return the facts of the dataset in `raw`, and lines about its images.

    Where the dataset lists test images, they are not looked at. Raises `InputError` if no image is usable, or
    if none shows any foreground.
    """

    def measured(image_id: str) -> tuple[Checked, tuple[Values, ...]]:
        pair = check_pair(raw, image_id, foreground, Geometry(SIZES[0]))
        if pair.reason:
            return pair, ()
        return pair, measure_objects(foreground_mask(read_trimap(trimap_path(raw, image_id)), foreground))

    ids = read_list(raw / (TRAINVAL if has_lists(raw) else LIST))
    with ThreadPoolExecutor(usable_cores()) as pool:
        results = list(progress(pool.map(measured, ids), "measuring", len(ids)))
    checked = {image_id: image for image_id, (image, _) in zip(ids, results, strict=True)}
    reasons = [image.reason for image, _ in results if image.reason]
    shapes = [image.size[::-1] for image, _ in results if not image.reason]
    objects = [found for _, found in results if found]
    if not objects:
        raise InputError(f"none of {len(ids)} images is usable; the first: {''.join(reasons[:1])}")
    owners = np.repeat(np.arange(len(objects)), [len(areas) for areas, _ in objects])
    if not len(owners):
        raise InputError(f"no image shows any of data.foreground = {list(foreground)}; check the masks")
    lines = [*describe(checked), *(f"warning: not usable: {reason}" for reason in reasons[:1])]
    return Facts(np.array(shapes), owners, *np.concatenate(objects, axis=1)), lines


def choose_geometry(facts: Facts) -> Geometry:
    """Return size, fit and scale that the objects of a dataset ask for.

    - Whole images, at 128 or else 256, if there the median object is 16 pixels wide and the smallest tenth 4,
      or as wide as in the image: U-Net halves four times, so that 16 pixels are one at its bottom, and what
      is under 4 is mostly contour. `pad` if half of the images are longer than twice their width, because
      squashing would halve one direction; else `stretch`.
    - Otherwise `tiles`, at the least scale down to 1/16 at which the smallest tenth is 8 pixels wide (a pixel
      lost all along the contour leaves half of the area), or else 1: enlarging shows nothing new. The window
      is 128, or 256 if the median object is wider than a quarter of that: surroundings tell what it is.
    """
    own = np.percentile(facts.widths, SHARES)
    longer, shorter = facts.shapes.max(axis=1), facts.shapes.min(axis=1)
    for size in SIZES:
        whole = Geometry(size, fit="pad" if np.median(longer / shorter) > 2 else "stretch")
        widths = facts.widths * np.minimum(facts.factors(whole), 1)
        if (np.percentile(widths, SHARES) >= np.minimum(own, SEEN)).all():
            return whole
    median, tenth = own
    sharp = (scale for scale in SCALES if tenth * scale >= SHARP and shorter.min() * scale >= 1)
    scale = next(sharp, 1.0)
    return Geometry(SIZES[0] if 4 * median * scale <= SIZES[0] else SIZES[1], fit="tiles", scale=scale)


def settings(facts: Facts, batch_size: int) -> dict[str, Any]:
    """Return the settings proposed for a dataset: what `choose_geometry` says, steps and validation.

    The steps of 50 passes over all windows, at least the 300 that 36 images took in docs/own_images.md, at
    most the 1,000 of `pets.yaml`, which more windows exceed by their epochs. A fifth validates, as in
    nnU-Net's five folds, where a tenth of fewer than 50 images would be too few to choose by.
    """
    chosen = choose_geometry(facts)
    steps = round(50 * windows(facts, chosen) / batch_size / 100) * 100
    return {
        "image.fit": chosen.fit,
        "image.size": chosen.size,
        "image.scale": f"{chosen.scale:g}",
        "train.min_steps": max(300, min(steps, 1000)),
    } | ({"data.val_fraction": 0.2} if len(facts.shapes) < 50 else {})


def windows(facts: Facts, geometry: Geometry) -> int:
    """Return how many windows an epoch takes of all images: one each, but in `tiles`."""
    shapes = (geometry.network_shape(*shape) for shape in facts.shapes.tolist())
    return sum(crops_per_epoch(*shape, geometry.size) for shape in shapes)


def table(facts: Facts, chosen: Geometry) -> Iterator[str]:
    """Yield the lines that say how large the objects are in what networks see."""
    count = f"{len(facts.owners)} objects (8-connected)"
    yield f"{count}, without the smallest that make {SPECKS:.0%} of an image's foreground"
    titles = "".join(f"{title:>20}" for title in ("median object", "smallest tenth", "smallest"))
    yield f"\n{'network pixels':18}{titles}{f'under {SEEN[1]} wide':>16}"
    shown = [Geometry(size, fit=fit) for fit in ("stretch", "pad") for size in SIZES]
    scales = sorted({1.0, 0.5, 0.25, chosen.scale}, reverse=True)
    for geometry in shown + [Geometry(chosen.size, fit="tiles", scale=scale) for scale in scales]:
        factors = facts.factors(geometry)
        areas, widths = facts.areas * factors**2, facts.widths * factors
        pairs = zip(*(np.percentile(values, (*SHARES, 0)) for values in (areas, widths)), strict=True)
        row = "".join(f"{f'{area:,.0f}, {width:.1f} wide':>20}" for area, width in pairs)
        at = f"scale {geometry.scale:g}" if geometry.fit == "tiles" else geometry.size
        yield f"{f'{geometry.fit} {at}':18}{row}{(widths < SEEN[1]).mean():>16.0%}"
    where, what = (SIZES[1], "too small") if chosen.fit == "tiles" else (chosen.size, "large enough")
    yield f"\n{chosen.fit}: in whole images at {where} the objects are {what}"
    yield f"all images together are {windows(facts, chosen):,} windows of {chosen.size}x{chosen.size}"


def command(proposed: Mapping[str, Any], folder: Path | None) -> str:
    """Return the command line that trains with the settings `proposed`, on `folder` if there is one."""
    if folder:
        path = str(folder)
        if not re.fullmatch(r"[\w/.+-]+", path, re.ASCII):  # Hydra, which reads -S, wants it in quotes
            path = '"' + path.replace('"', '\\"') + '"'
        proposed = {"data.source": "folder", "data.folder.path": path} | dict(proposed)
    return " -S ".join(["dvc exp run", *(shlex.quote(f"{key}={value}") for key, value in proposed.items())])
