"""The embedded dataset: drawn cats and dogs in the layout of Oxford-IIIT Pet.

Animals and surroundings share their colours, textures, and round and pointed parts,
so that no threshold and no average mask finds the animal, while a network that sees shapes does.
Every image has a random stream of its own, from (seed, index): its bytes depend on nothing else.
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from PIL import Image

from segmentation.common import dataset_layout as layout
from segmentation.common.seeds import Purpose, stream
from segmentation.sources.sample.figures import BREEDS, Part, animal, moved, thing, tube
from segmentation.sources.sample.painting import Shape, paint, palettes, photographed, scene, texture

IMAGE_COUNT = 400
PER_BREED = IMAGE_COUNT // len(BREEDS)
TEST_EVERY = 4  # each breed's every fourth image tests
LIST_HEAD = """\
#Image CLASS-ID SPECIES BREED ID
#ID: 1:5 Class ids
#SPECIES: 1:Cat 2:Dog
#BREED ID: 1-2:Cat 1-3:Dog
#Cats' names begin with a capital letter, dogs' with a small one
#Drawn by a program; the breeds are invented
"""


def write_sample(folder: Path, seed: int) -> None:
    """Fill the empty `folder` with 400 drawn pets, 300 to train and validate, 100 to test.

    JPEG images of 128 to 200 px on the longer side, with trimaps and lists as in Oxford-IIIT Pet
    (https://www.robots.ox.ac.uk/~vgg/data/pets/). The same `seed` (an integer >= 0) gives the same bytes.
    """
    for path in (layout.IMAGES, layout.TRIMAPS):
        (folder / path).mkdir(parents=True)
    rows = []  # ID CLASS-ID SPECIES BREED-ID
    for index in range(IMAGE_COUNT):
        breed = BREEDS[index // PER_BREED]
        image_id = f"{breed.name}_{index % PER_BREED + 1}"
        image, trimap = draw(seed, index)
        Image.fromarray(image).save(layout.image_path(folder, image_id), quality=90)
        Image.fromarray(trimap).save(layout.trimap_path(folder, image_id))
        kin = [other for other in BREEDS if other.species == breed.species]
        rows.append(f"{image_id} {BREEDS.index(breed) + 1} {breed.species} {kin.index(breed) + 1}\n")
    test = rows[TEST_EVERY - 1 :: TEST_EVERY]
    (folder / layout.LIST).write_text(LIST_HEAD + "".join(rows))
    (folder / layout.TEST).write_text("".join(test))
    (folder / layout.TRAINVAL).write_text("".join(row for row in rows if row not in test))


def draw(seed: int, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw one animal in a scene: the image (H, W, 3), RGB, and its trimap (H, W)."""
    rng = default_rng(stream(Purpose.SAMPLE, seed, index))
    long, ratio = int(rng.integers(128, 201)), rng.uniform(0.7, 1.0)
    shape = (int(long * ratio), long) if rng.random() < 0.6 else (long, int(long * ratio))
    height = shape[0]
    horizon = height * rng.uniform(0.2, 0.6)
    close = rng.random() < 0.12  # a close-up: the frame cuts the animal's feet off
    ground = height * (rng.uniform(1.15, 1.5) if close else rng.uniform(0.7, 1.0))
    scenery, coat = palettes(rng)
    canvas = scene(rng, shape, horizon, scenery)
    coats = [texture(rng, shape, coat) for _ in range(3)]
    for base in np.sort(rng.uniform(horizon, min(ground, height), rng.integers(2, 5))):
        parts = _placed(rng, thing(rng), shape, base, rng.uniform(0.4, 1))
        paint(rng, canvas, parts, [coats[i] for i in rng.permutation(3)], rng.uniform(0, 0.8))
    breed = BREEDS[index // PER_BREED]
    parts = _placed(rng, animal(rng, breed), shape, ground, rng.uniform(0.92, 1.12))
    cover = paint(rng, canvas, parts, coats, breed.fluff)
    return photographed(rng, canvas), _trimap(cover > 0.5)


def _placed(rng: Generator, parts: list[Part], shape: Shape, ground: float, size: float) -> list[Part]:
    """Face a figure left or right and stand it on row `ground` of (H, W), at `size` of what fits above it."""
    parts = moved(parts, [[rng.choice([-1, 1]), 0], [rng.normal(0, 0.06), 1]])
    points = np.concatenate([part.polygons.reshape(-1, 2) for part in parts])
    (left, top), (right, _) = points.min(axis=0), points.max(axis=0)
    shadow = tube([(left, 0), (right, 0)], [0.12], "shadow")
    height, width = shape
    scale = size * min(width / (right - left), 0.95 * ground / -top)
    x = rng.uniform(-0.1, 1.1) * (width - scale * (right - left)) - scale * left
    y = min(ground, height - 0.3 * scale * top)  # at least 70 % of it are above the frame's lower edge
    return moved([shadow, *parts], scale * np.eye(2), (x, y))


def _trimap(pet: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Label pet and background, and a band along the outline: 1 px outside it, 2 px inside."""
    mask, kernel = pet.astype(np.uint8), np.ones((3, 3), dtype=np.uint8)
    inside, near = cv2.erode(mask, kernel, iterations=2) > 0, cv2.dilate(mask, kernel) > 0
    return np.select([inside, near], [layout.PET, layout.BORDER], layout.BACKGROUND).astype(np.uint8)
