"""What is drawn of a test image, and the files of the gallery."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from segmentation.evaluation.overlays import LEGEND, TRUE, Example, errors, gallery_files, sheet

Mask = NDArray[np.uint8]
TITLES = {"unet": "U-Net"}


def rectangle(shape: tuple[int, int], top: int, bottom: int, left: int, right: int) -> Mask:
    mask = np.zeros(shape, np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


def drawn(target: Mask, prediction: Mask) -> NDArray[np.uint8]:
    return np.asarray(errors(target, prediction).convert("RGBA"))


def opened(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGBA" if "transparency" in image.info else "RGB"))


def example(shape: tuple[int, int]) -> Example:
    height, width = shape
    target = rectangle(shape, height // 4, height // 2, width // 4, width // 2)
    image = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
    return Example("cat.1", image, {TRUE: target, "unet": np.roll(target, 3, axis=1)}, {"unet": 0.5})


def test_thick_foreground_is_tinted() -> None:
    target, prediction = rectangle((90, 90), 10, 80, 10, 80), rectangle((90, 90), 10, 80, 20, 85)
    pixels = drawn(target, prediction)
    both, extra, missed = target & prediction, prediction > target, target > prediction
    for (label, color), where in zip(LEGEND.items(), (both, extra, missed), strict=True):
        *colors, opacity = pixels[np.nonzero(where)].T.astype(int)
        assert (np.transpose(colors) == color).all(), label
        assert opacity.min() > 0 and opacity.max() < 255
    assert (pixels[(target | prediction) == 0][:, 3] == 0).all()


def test_thin_foreground_has_outlines_of_one_pixel() -> None:
    line = rectangle((90, 90), 40, 48, 5, 85)
    opacity = drawn(line, line)[:, :, 3]
    assert (np.flatnonzero(opacity[:, 45]) == [40, 47]).all()  # what is between can be seen
    assert set(opacity.ravel()) == {0, 255}
    assert not drawn(np.zeros_like(line), np.zeros_like(line)).any()


@pytest.mark.parametrize(
    ("shape", "shown"),
    [((2, 2), (2, 2)), ((60, 90), (60, 90)), ((1600, 800), (1600, 800)), ((2000, 4000), (800, 1600))],
)
def test_the_gallery_shows_images_at_their_own_size(shape: tuple[int, int], shown: tuple[int, int]) -> None:
    one = example(shape)
    files = gallery_files(one)
    assert set(files) == {f"cat.1.{end}" for end in ("jpg", "true.png", "unet.png", "unet.errors.png")}
    pixels = {name: opened(data) for name, data in files.items()}
    assert {drawing.shape[:2] for drawing in pixels.values()} == {shown}
    for name in (TRUE, "unet"):
        mask = pixels[f"cat.1.{name}.png"][:, :, 0]
        assert set(mask.ravel()) == {0, 255}
        assert (mask > 0).mean() == pytest.approx(one.masks[name].mean(), rel=0.01)
    shown_errors = pixels["cat.1.unet.errors.png"][:, :, 3] > 0
    either = one.masks[TRUE] | one.masks["unet"]
    assert shown_errors.mean() == pytest.approx(either.mean(), rel=0.01)


def test_a_sheet_shows_small_and_large_images() -> None:
    sizes = [(60, 90), (900, 1600)]
    pixels = opened(sheet("Worst of 2", [example(shape) for shape in sizes], TITLES))
    assert pixels.shape == (3 * 22 + sum(round(256 * h / w) + 30 for h, w in sizes), 3 * 256 + 16, 3)
