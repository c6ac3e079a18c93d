from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmentation.common.errors import InputError
from segmentation.pixel_stats import compute_stats


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Images of very different sizes and brightness, so that weighting matters."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    paths = []
    for i in range(12):
        shape = (int(rng.integers(1, 200)), int(rng.integers(1, 200)), 3)
        values = rng.integers(0, 20 * (i + 1), shape).astype(np.uint8)
        paths.append(folder / f"{i}.png")
        Image.fromarray(values).save(paths[-1])
    return paths


def test_agrees_with_numpy_in_float64(images: list[Path]) -> None:
    pixels = np.concatenate([np.asarray(Image.open(path)).reshape(-1, 3) for path in images]) / 255
    stats = compute_stats(images)
    np.testing.assert_allclose(stats["mean"], pixels.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(stats["std"], pixels.std(axis=0), atol=1e-12)
    assert stats["images"] == 12 and stats["pixels"] == len(pixels)


def test_the_same_to_the_last_bit_in_any_order(images: list[Path]) -> None:
    assert compute_stats(images) == compute_stats(images[::-1]) == compute_stats(images[5:] + images[:5])


def test_a_flat_image_has_no_deviation(tmp_path: Path) -> None:
    Image.new("RGB", (7, 5), (255, 51, 0)).save(tmp_path / "flat.png")
    stats = compute_stats([tmp_path / "flat.png"])
    assert stats == {"mean": [1.0, 0.2, 0.0], "std": [0.0, 0.0, 0.0], "images": 1, "pixels": 35}


def test_no_images() -> None:
    with pytest.raises(InputError, match="no images"):
        compute_stats([])


def test_a_broken_image_is_named(images: list[Path], tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(InputError, match=r"broken\.jpg: does not decode"):
        compute_stats([*images, tmp_path / "broken.jpg"])
