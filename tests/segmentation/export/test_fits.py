"""Networks of `pad` and `tiles`, exported: what `Geometry` and `Predictor` do."""

import dataclasses

import cv2
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from segmentation.common.geometry import Fit, Geometry, Image, Resize
from segmentation.export.check import compare
from segmentation.export.graph import ImagesToProbabilities, to_onnx
from segmentation.export.resizing import Axis, axes_of, filled_to_network, to_image
from segmentation.inference.predictor import Predictor
from segmentation.models.build import FIRST, build_model, network_names
from segmentation.models.checkpoints import Checkpoint, Metadata
from segmentation.prediction.onnx_predictor import OnnxPredictor, fit_metadata, read_windows

CPU = torch.device("cpu")
FILL = (100, 120, 140)
SIZES = [(200, 150), (151, 227), (25, 20), (1, 450), (65, 300)]  # an odd one, one smaller than a window
SHAPES = [(375, 500), (93, 157), (64, 64), (40, 50), (1, 1), (1, 5000), (700, 3), (1200, 900), (128, 127)]
FITS: list[tuple[Fit, float]] = [("pad", 1.0), *(("tiles", scale) for scale in (0.37, 0.5, 1.0, 1.7))]
RESIZES: list[Resize] = ["linear", "area"]
GEOMETRIES = [Geometry(96, resize, fit, scale, FILL) for resize in RESIZES for fit, scale in FITS]


def axes(shape: tuple[int, ...], geometry: Geometry, multiple: int = 64) -> list[Axis]:
    images = torch.zeros(1, 1, 1, 3, dtype=torch.uint8).expand(1, *shape[:2], 3)
    return axes_of(images, geometry, torch.tensor(geometry.scale, dtype=torch.float64), multiple)


def noise(*shape: int) -> Image:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)


def texture(*shape: int) -> Image:
    """Blobs of strong colours: masks of random networks have foreground and background."""
    pixels = cv2.GaussianBlur(noise(*shape), (0, 0), 3).astype(int)
    return np.clip((pixels - 128) * 6 + 128, 0, 255).astype(np.uint8)


@settings(deadline=None)
@example(540, 1872, 182, 1.0)  # 52.5 rows: 53, where 182 / 1872 was rounded twice
@given(st.integers(1, 20_000), st.integers(1, 20_000), st.integers(32, 1024), st.floats(1e-3, 16))
def test_sizes_are_those_of_geometry(height: int, width: int, size: int, scale: float) -> None:
    for geometry in (
        Geometry(size, "linear", "pad"),
        Geometry(size, "linear", "tiles", min(scale, size / 8)),
    ):
        rows, columns = axes((height, width), geometry, multiple=1)
        assert (int(rows.size), int(columns.size)) == geometry.network_shape(height, width)


class Sizes(nn.Module):
    def __init__(self, geometry: Geometry) -> None:
        super().__init__()
        self.geometry = geometry

    def forward(self, images: Tensor, scale: Tensor) -> Tensor:
        return torch.stack([axis.size for axis in axes_of(images, self.geometry, scale, 1)])


@pytest.mark.parametrize(
    "geometry",
    [
        *(Geometry(size, fit="pad") for size in (182, 224)),
        *(Geometry(32, fit="tiles", scale=each) for each in (0.1, 0.5)),
    ],
)
def test_sizes_in_a_file_are_those_of_geometry(geometry: Geometry) -> None:
    """Halves go to even, and products are rounded as Python's: in float32, some would be others."""
    import onnxruntime

    scale = torch.tensor(geometry.scale, dtype=torch.float64)
    dims = {1: torch.export.Dim("height"), 2: torch.export.Dim("width")}
    program = torch.onnx.export(
        Sizes(geometry).eval(), (torch.zeros(1, 48, 80, 3, dtype=torch.uint8), scale),
        input_names=["images", "scale"],
        dynamic_shapes=(dims, None), dynamo=True, verbose=False, opset_version=18,
    )  # fmt: skip
    assert program is not None
    content = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content)
    shapes = [
        (1, 5000),
        (5000, 1),
        (1, 1),
        *((1, width) for width in range(5, 2000, 10)),
        (999, 1000),
        (540, 1872),
    ]
    shapes += [
        (height, 448 * odd) for odd in (1, 3, 7, 11) for height in range(odd, 300, odd)
    ]  # halves in `pad`
    for shape in shapes:
        inputs = {"images": np.zeros((1, *shape, 3), np.uint8), "scale": scale.numpy()}
        (found,) = session.run(None, inputs)
        assert tuple(found) == geometry.network_shape(*shape), shape


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_pixels_are_those_of_geometry(geometry: Geometry, shape: tuple[int, int]) -> None:
    image = noise(*shape)
    rows, columns = axes(shape, geometry)
    found = filled_to_network(torch.from_numpy(image)[None], rows, columns, geometry)[0].numpy()
    expected = geometry.filled(geometry.to_network(image), FILL)
    if geometry.fit == "tiles":
        assert all(side % 64 == 0 for side in found.shape[:2])
        expected = cv2.copyMakeBorder(
            expected, 0, found.shape[0] - expected.shape[0], 0, found.shape[1] - expected.shape[1],
            cv2.BORDER_REPLICATE,
        )  # fmt: skip
    assert found.shape == expected.shape
    # As for `stretch`: OpenCV's `area` sums floating-point numbers, and halves may be rounded in another way.
    difference = np.abs(found - expected)
    assert difference.max() <= 1 and (difference == 0).mean() > (
        0.98 if geometry.resize == "area" else 0.9999
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("geometry", GEOMETRIES[:5], ids=str)
def test_the_way_back_is_that_of_geometry(geometry: Geometry, shape: tuple[int, int]) -> None:
    rows, columns = axes(shape, geometry)
    sides = [axis.pixels().shape[0] for axis in (rows, columns)]
    seen = np.random.default_rng(0).random(sides, dtype=np.float32)
    found = to_image(torch.from_numpy(seen)[None], rows, columns)[0].numpy()
    network_shape = geometry.network_shape(*shape)
    filled = seen[: max(geometry.size, network_shape[0]), : max(geometry.size, network_shape[1])]
    expected = geometry.to_image(geometry.unfilled(filled, *network_shape), *shape)
    np.testing.assert_allclose(found, expected, atol=1e-3)  # as far as OpenCV rounds positions


def random_checkpoint(name: str, fit: Fit, scale: float = 1.0, resize: Resize = "area") -> Checkpoint:
    torch.manual_seed(0)
    meta = Metadata(
        model=name, width=4, size=48, mean=[0.4, 0.5, 0.6], std=[0.2, 0.2, 0.3], threshold=0.5,
        foreground=["pet"], epoch=1, device="cpu", processes=1, precision="float32", params={},
        resize=resize, fit=fit, scale=scale, fill=FILL,
    )  # fmt: skip
    return Checkpoint(build_model(name, width=4, init="he").eval(), meta)


def both(checkpoint: Checkpoint, images: list[Image]) -> tuple[Predictor, OnnxPredictor]:
    """Both predictors, with the threshold at which half of the pixels are foreground."""
    predictor = Predictor.from_checkpoint(checkpoint, CPU)
    maps = predictor.probabilities(images)
    predictor = dataclasses.replace(
        predictor, threshold=float(np.median(np.concatenate([*map(np.ravel, maps)])))
    )
    content = to_onnx(ImagesToProbabilities(checkpoint), {"threshold": repr(predictor.threshold)})
    return predictor, OnnxPredictor.of_bytes(content, "x")


@pytest.mark.parametrize(
    "name", [FIRST, *(pytest.param(name, marks=pytest.mark.slow) for name in network_names()[1:])]
)
@pytest.mark.parametrize(("fit", "scale"), [("pad", 1.0), ("tiles", 0.6)])
def test_masks_are_those_of_torch(fit: Fit, scale: float, name: str) -> None:
    checkpoint, images = random_checkpoint(name, fit, scale), [texture(*size) for size in SIZES]
    predictor, exported = both(checkpoint, images)
    graph = ImagesToProbabilities(checkpoint)
    masks = predictor.masks(images)
    assert 0.3 < np.mean([mask.mean() for mask in masks]) < 0.7
    for image in images:
        compare(graph, predictor, exported, [image]).require()  # 99.9 % of the pixels of each
    flipped = [dataclasses.replace(each, tta="flip") for each in (predictor, exported)]
    for image in images[:3]:
        (expected,), (found,) = (each.probabilities([image]) for each in flipped)
        np.testing.assert_allclose(found, expected, atol=1e-4 if fit == "tiles" else 0.05)
        assert np.abs(found - expected).mean() < 1e-3  # `pad` mirrors before it resizes, and rounds
    together = np.stack([images[0], images[0][::-1]])
    np.testing.assert_allclose(exported.whole(together)[0], exported.whole(together[:1])[0], atol=1e-5)
    metadata = exported.session.get_modelmeta().custom_metadata_map
    expected_metadata = {
        "fit": fit,
        "size": "48",
        "overlap": "0.5",
        "scale": str(scale),
        "fill": "100,120,140",
    }
    assert expected_metadata.items() <= metadata.items()
    assert (exported.windows and exported.windows.geometry) == (
        predictor.geometry if fit == "tiles" else None
    )
    with torch.no_grad():
        next(checkpoint.model.parameters()).mul_(1.05)
    assert compare(graph, predictor, exported, [images[0]]).difference > 1e-4


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("fit", ["pad", "tiles"])
def test_metadata_come_back(fit: Fit, resize: Resize) -> None:
    geometry = Geometry(96, resize, fit, 0.1 if fit == "tiles" else 1.0, FILL)
    assert read_windows(fit_metadata(geometry)) == (geometry if fit == "tiles" else None)
    assert fit_metadata(Geometry(96, resize)) == {} and read_windows({}) is None  # as files from before


@pytest.mark.parametrize(
    "change", [{"size": "0"}, {"scale": "nan"}, {"scale": "-1"}, {"fill": "1,2"}, {"resize": "cubic"}]
)
def test_impossible_metadata_are_refused(change: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        read_windows(fit_metadata(Geometry(96, "area", "tiles", 0.5, FILL)) | change)
