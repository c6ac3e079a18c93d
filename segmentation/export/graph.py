"""From a checkpoint to an ONNX file that needs nothing but an image."""

import io
import logging
import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmentation.common.errors import InputError
from segmentation.export import opencv_resize
from segmentation.loading.transforms import normalize
from segmentation.models.checkpoints import Checkpoint
from segmentation.prediction.onnx_predictor import REQUIREMENTS

OPSET = 18


class ImagesToProbabilities(nn.Module):
    """All of prediction in one graph: resize, normalise, network, sigmoid, resize back."""

    mean: Tensor
    std: Tensor

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.model, self.geometry = checkpoint.model, checkpoint.meta.geometry
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(getattr(checkpoint.meta, name)).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Map images `(N, H, W, 3)`, uint8, RGB, to the probabilities `(N, H, W)` of foreground, float32.

        Both resizes are those of `Geometry`.
        """
        squares = opencv_resize.to_network(images, self.geometry).permute(0, 3, 1, 2)
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
