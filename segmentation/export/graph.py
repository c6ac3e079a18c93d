"""From a checkpoint to an ONNX file that needs nothing but an image.

The resize to the network's size is that of OpenCV, in operations that ONNX has. In its bilinear one OpenCV
computes with integers: weights in 1/2048, and sums that lose their last bits. An exact bilinear resize
differs from it by a grey level in one pixel of eight, which moves the edges of masks; this one does not.
See `resizeGeneric_`, `HResizeLinear` and `VResizeLinear` in OpenCV's `modules/imgproc/src/resize.cpp`.
"""

import io
import logging
import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmentation.common.errors import InputError
from segmentation.common.geometry import Geometry
from segmentation.loading.transforms import normalize
from segmentation.models.checkpoints import Checkpoint
from segmentation.prediction.onnx_predictor import REQUIREMENTS

OPSET = 18
WEIGHT_OF_ONE = 2048  # OpenCV's weights are whole numbers, in 1/2048


class ImagesToProbabilities(nn.Module):
    """All of prediction in one graph: resize, normalise, network, sigmoid, resize back."""

    mean: Tensor
    std: Tensor

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.model, self.geometry = checkpoint.model, checkpoint.meta.geometry
        if self.geometry.fit != "stretch":
            raise InputError(f"networks of image.fit = {self.geometry.fit} cannot be exported yet")
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(getattr(checkpoint.meta, name)).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Map images `(N, H, W, 3)`, uint8, RGB, to the probabilities `(N, H, W)` of foreground, float32.

        Both resizes are those of `Geometry`.
        """
        squares = to_network(images, self.geometry).permute(0, 3, 1, 2)
        probabilities = torch.sigmoid(self.model(normalize(squares, self.mean, self.std)))
        return F.interpolate(probabilities, images.shape[1:3], mode="bilinear", align_corners=False)[:, 0]


def to_onnx(graph: ImagesToProbabilities, metadata: dict[str, str]) -> bytes:
    """Return the ONNX file of a graph: any number of images of any size.

    Raises `InputError` if a package is missing.
    """
    try:
        import onnx
        import onnx_ir.passes.common as passes
        import onnxscript  # noqa: F401  (torch imports it)
    except ImportError as error:
        raise InputError(f"export needs {error.name}; `pip install -r {REQUIREMENTS}`") from None
    example = torch.zeros(2, 48, 80, 3, dtype=torch.uint8)
    dynamic = {0: torch.export.Dim("n"), 1: torch.export.Dim("height"), 2: torch.export.Dim("width")}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # that torchvision is not installed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch about itself
        program = torch.onnx.export(
            graph.eval(),
            (example,),
            input_names=["images"],
            output_names=["probabilities"],
            dynamic_shapes=(dynamic,),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    passes.ClearMetadataAndDocStringPass()(program.model)  # the paths of this machine's files
    model = program.model_proto
    onnx.helper.set_model_props(model, metadata)
    buffer = io.BytesIO()
    onnx.save_model(model, buffer)
    return buffer.getvalue()


def to_network(images: Tensor, geometry: Geometry) -> Tensor:
    """Map uint8 images `(N, H, W, C)` to what a network sees of them, `(N, size, size, C)`, int32."""
    if geometry.resize == "area":
        images = _area(images, *(torch.sym_min(side, geometry.size) for side in images.shape[1:3]))
    return resize(images, geometry.size)


def resize(images: Tensor, size: int) -> Tensor:
    """Map uint8 images `(N, H, W, C)` to `(N, size, size, C)`, int32, as `cv2.resize` with `INTER_LINEAR`."""
    height, width = images.shape[1:3]
    (rows, row_weights), columns = _neighbors(height, size, False), _neighbors(width, size, True)
    upper, lower = (
        weight[:, None, None] * _shifted(_weighted_columns(images[:, row], *columns), 4)
        for row, weight in zip(rows, row_weights, strict=True)
    )
    return _shifted(_shifted(upper, 16) + _shifted(lower, 16) + 2, 2)


def _neighbors(length: int, size: int, clamp_weights: bool) -> tuple[list[Tensor], list[Tensor]]:
    """Return, for each of `size` pixels of the result, the two of `length` beside it, and their weights.

    Both are two tensors `(size,)`, the weights int32. OpenCV clamps the weights at the borders in x alone.
    """
    position = ((torch.arange(size, dtype=torch.float64) + 0.5) * length / size - 0.5).float()
    first = position.floor()
    share = position - first
    if clamp_weights:
        share = torch.where((first < 0) | (first >= length - 1), 0.0, share)
    indices, weights = (first, first + 1), (1 - share, share)
    return (
        [index.long().clamp(0, length - 1) for index in indices],
        [(weight * WEIGHT_OF_ONE).round().int() for weight in weights],
    )


def _weighted_columns(rows: Tensor, columns: list[Tensor], weights: list[Tensor]) -> Tensor:
    left, right = (rows[:, :, column].int() for column in columns)
    return left * weights[0][:, None] + right * weights[1][:, None]


def _shifted(numbers: Tensor, bits: int) -> Tensor:
    """Shift whole numbers ≥ 0 to the right: ONNX has no shift for signed ones."""
    return torch.div(numbers, 1 << bits, rounding_mode="trunc")


def _area(images: Tensor, height: int, width: int) -> Tensor:
    """Shrink images `(N, H, W, C)` to `(N, height, width, C)`, as `cv2.resize` with `INTER_AREA`.

    In whole numbers, so that any library gives the same: below 2^24, which float32 holds, for images of up to
    65,793 rows, then below 2^53.
    """
    count, rows, columns, channels = images.shape
    upright = _overlaps(rows, height) @ images.float().reshape(count, rows, columns * channels)
    sums = _overlaps(columns, width).double() @ upright.double().reshape(count, height, columns, channels)
    # OpenCV rounds halves to even, but up where both factors are 2.
    twice = torch.scalar_tensor(rows == 2 * height) * torch.scalar_tensor(columns == 2 * width)
    return (sums / (rows * columns) + twice / 8).round()


def _overlaps(length: int, size: int) -> Tensor:
    """Return how much of each of `length` pixels is in each of the `size` that they become, `(size, length)`.

    In 1/size of a pixel: whole numbers, whose sum over a row is `length`.
    """
    pixel, result = torch.arange(length), torch.arange(size)[:, None]
    end = torch.minimum((result + 1) * length, (pixel + 1) * size)
    return (end - torch.maximum(result * length, pixel * size)).clamp(min=0).float()
