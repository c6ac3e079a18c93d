"""From a checkpoint to an ONNX file that needs nothing but an image."""

import io
import logging
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmentation.export.resizing import axes_of, filled_to_network, to_image, to_network
from segmentation.loading.transforms import normalize
from segmentation.models.checkpoints import Checkpoint
from segmentation.prediction.onnx_predictor import fit_metadata

OPSET = 18


class ImagesToProbabilities(nn.Module):
    """All of prediction in one graph: resize, fill, normalise, network, sigmoid, resize back."""

    mean: Tensor
    std: Tensor

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.model, self.geometry = checkpoint.model, checkpoint.meta.geometry
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(getattr(checkpoint.meta, name)).view(1, 3, 1, 1))

    def forward(self, images: Tensor, scale: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Map images `(N, H, W, 3)`, uint8, RGB, to the probabilities `(N, H, W)` of foreground, float32.

        Both resizes are those of `Geometry`. In `tiles`, the network sees images as a whole. `scale` `()`,
        float64, may replace that of the checkpoint: 1 for windows of a resized image. The second result are
        the logits `(N, rows, columns)` of what the network sees.
        """
        if self.geometry.fit == "stretch":
            squares = to_network(images, self.geometry).permute(0, 3, 1, 2)
            maps = torch.sigmoid(self.model(normalize(squares, self.mean, self.std)))
            return F.interpolate(maps, images.shape[1:3], mode="bilinear", align_corners=False)[:, 0]
        scale = torch.tensor(self.geometry.scale, dtype=torch.float64) if scale is None else scale
        rows, columns = axes_of(images, self.geometry, scale, int(getattr(self.model, "multiple", 1)))
        pixels = filled_to_network(images, rows, columns, self.geometry).permute(0, 3, 1, 2)
        logits = self.model(normalize(pixels, self.mean, self.std))[:, 0]
        probabilities = to_image(torch.sigmoid(logits), rows, columns)
        return (probabilities, logits) if self.geometry.fit == "tiles" else probabilities


def to_onnx(graph: ImagesToProbabilities, metadata: dict[str, str]) -> bytes:
    """Return the ONNX file of a graph: any number of images of any size."""
    import onnx
    import onnx_ir.passes.common as passes
    import onnxscript  # noqa: F401  (torch imports it)

    example = torch.zeros(2, 48, 80, 3, dtype=torch.uint8)
    dynamic = {0: torch.export.Dim("n"), 1: torch.export.Dim("height"), 2: torch.export.Dim("width")}
    scale = np.array(graph.geometry.scale)
    tiles = graph.geometry.fit == "tiles"
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # that torchvision is not installed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch about itself
        program = torch.onnx.export(
            graph.eval(),
            (example, torch.from_numpy(scale)) if tiles else (example,),
            input_names=["images", "scale"] if tiles else ["images"],
            output_names=["probabilities", "logits"] if tiles else ["probabilities"],
            dynamic_shapes=(dynamic, None) if tiles else (dynamic,),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    passes.ClearMetadataAndDocStringPass()(program.model)  # the paths of this machine's files
    model = program.model_proto
    if tiles:  # an input that has a value need not be given
        model.graph.initializer.append(onnx.numpy_helper.from_array(scale, "scale"))
    onnx.helper.set_model_props(model, metadata | fit_metadata(graph.geometry))
    buffer = io.BytesIO()
    onnx.save_model(model, buffer)
    return buffer.getvalue()
