"""The embedded dataset: drawn cats and dogs in the layout of Oxford-IIIT Pet.

Animals and surroundings share one palette, the same textures and the same round and pointed parts,
so that no threshold and no average mask finds the animal, while a network that sees shapes does.
Every image has a random stream of its own, from (seed, index): its bytes depend on nothing else.
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from PIL import Image

from segmentation.common.dataset_layout import (
    BACKGROUND,
    BORDER,
    IMAGES,
    LIST,
    PET,
    TEST,
    TRAINVAL,
    TRIMAPS,
    image_path,
    trimap_path,
)
from segmentation.common.seeds import Purpose, stream
from segmentation.sources.sample.figures import BREEDS, Breed, animal
from segmentation.sources.sample.painting import PALETTE, add, apart, photographed, scene
from segmentation.sources.sample.scenery import thing
from segmentation.sources.sample.shapes import XY, Part, moved

IMAGE_COUNT = 400
PER_BREED = IMAGE_COUNT // len(BREEDS)
TEST_EVERY = 4  # each breed's every fourth image tests

Bytes = NDArray[np.uint8]


def write_sample(folder: Path, seed: int) -> None:
    """Fill the empty `folder` with 400 drawn pets, 300 to train and validate, 100 to test.

    JPEG images of 128 to 200 px on the longer side, with trimaps and lists as in Oxford-IIIT Pet
    (https://www.robots.ox.ac.uk/~vgg/data/pets/). The same `seed` (an integer >= 0) gives the same bytes.
    """
    for path in (IMAGES, TRIMAPS):
        (folder / path).mkdir(parents=True)
    for index in range(IMAGE_COUNT):
        image, trimap = draw(seed, index)
        Image.fromarray(image).save(image_path(folder, _id(index)), quality=90)
        Image.fromarray(trimap).save(trimap_path(folder, _id(index)))
    _write_lists(folder)


def draw(seed: int, index: int) -> tuple[Bytes, Bytes]:
    """Draw one animal in a scene: the image (H, W, 3), RGB, and its trimap (H, W)."""
    rng = default_rng(stream(Purpose.SAMPLE, seed, index))
    long, short = int(rng.integers(128, 201)), rng.uniform(0.7, 1.0)
    width, height = (long, int(long * short)) if rng.random() < 0.6 else (int(long * short), long)
    horizon = height * rng.uniform(0.2, 0.6)
    close = rng.random() < 0.12  # a close-up: the frame cuts the animal's feet off
    ground = height * (rng.uniform(1.15, 1.5) if close else rng.uniform(0.65, 1.0))
    palette = rng.permutation(PALETTE)
    canvas = scene(rng, height, width, horizon, palette[:3])
    for base in np.sort(rng.uniform(horizon, min(ground, height), rng.integers(2, 5))):
        x, size = rng.uniform(0.05, 0.95) * width, rng.uniform(0.15, 0.32)
        add(rng, canvas, _placed(rng, thing(rng), (height, width), (x, base), size), palette)
    x, size = rng.uniform(0.35, 0.65) * width, rng.uniform(0.9, 1.2) if close else rng.uniform(0.88, 1.1)
    parts = _placed(rng, animal(rng, _breed(index)), (height, width), (x, ground), size)
    coat = apart(palette[3:], palette[:3])[:3]  # may look like the things, less like wall and floor
    cover = add(rng, canvas, parts, coat)
    return photographed(rng, canvas), _trimap(cover > 0.5)


def _placed(rng: Generator, parts: list[Part], frame: tuple[int, int], at: XY, size: float) -> list[Part]:
    """Face a figure left or right and stand it at pixel (x, y), at most `size` of the frame (H, W).

    Where the frame would hide its top or too much of it, it is made smaller or moved.
    """
    if rng.random() < 0.5:
        parts = [part._replace(polygons=part.polygons * (-1, 1)) for part in parts]
    parts = moved(parts, 0, 0, 1.0, rng.normal(0, 0.06))
    points = np.concatenate([part.polygons.reshape(-1, 2) for part in parts])
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    (height, width), (x, y) = frame, at
    scale = size * np.sqrt(height * width / ((right - left) * (bottom - top)))
    scale = min(scale, (y - 0.04 * height) / -top, 1.15 * width / (right - left))
    reach = 0.46 * scale * (right - left)
    x = np.clip(x, reach, width - reach) - scale * (left + right) / 2
    return moved(parts, x, min(y, height - 0.27 * scale * top), scale)


def _trimap(pet: NDArray[np.bool_]) -> Bytes:
    """Label pet and background, and a band along the outline: 1 px outside it, 2 px inside."""
    mask = pet.astype(np.uint8)
    kernel = np.ones((3, 3), dtype=np.uint8)
    trimap = np.full(mask.shape, BACKGROUND, dtype=np.uint8)
    trimap[cv2.dilate(mask, kernel) > 0] = BORDER
    trimap[cv2.erode(mask, kernel, iterations=2) > 0] = PET
    return trimap


def _breed(index: int) -> Breed:
    return BREEDS[index // PER_BREED]


def _id(index: int) -> str:
    return f"{_breed(index).name}_{index % PER_BREED + 1}"


def _write_lists(folder: Path) -> None:
    """Write list.txt, trainval.txt and test.txt: ID CLASS-ID SPECIES BREED-ID."""
    lines = []
    for index in range(IMAGE_COUNT):
        breed = _breed(index)
        kin = [other for other in BREEDS if other.species == breed.species]
        lines.append(f"{_id(index)} {BREEDS.index(breed) + 1} {breed.species} {kin.index(breed) + 1}\n")
    head = (
        "#Image CLASS-ID SPECIES BREED ID\n"
        "#ID: 1:5 Class ids\n"
        "#SPECIES: 1:Cat 2:Dog\n"
        "#BREED ID: 1-2:Cat 1-3:Dog\n"
        "#Cats' names begin with a capital letter, dogs' with a small one\n"
        "#Drawn by a program; the breeds are invented\n"
    )
    (folder / LIST).write_text(head + "".join(lines))
    (folder / TEST).write_text("".join(lines[TEST_EVERY - 1 :: TEST_EVERY]))
    (folder / TRAINVAL).write_text("".join(x for i, x in enumerate(lines, 1) if i % TEST_EVERY))
