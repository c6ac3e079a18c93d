"""Export a network to ONNX: from an image of any size to the probabilities of its pixels, in one file.

Input `images`: `(N, H, W, 3)`, uint8, RGB. Output `probabilities`: `(N, H, W)`, float32. Resizing and
normalisation are inside. Before the file is written, it is compared with the checkpoint on validation images.
"""

import hashlib
from pathlib import Path

from segmentation.common.command_line import make_parser, path_argument, run

CHECKED = 16  # validation images


def main(model: str | None, out: Path | None) -> None:
    """Convert the checkpoint, compare, and write."""
    from segmentation.common.artifacts import RAW, SPLIT, Split, checkpoint_path
    from segmentation.common.files import read_json, write_bytes
    from segmentation.export.check import compare, read_images, with_precision
    from segmentation.export.graph import ImagesToProbabilities, to_onnx
    from segmentation.inference.predictor import Predictor
    from segmentation.models.checkpoints import load_checkpoint
    from segmentation.prediction.load import choose_network
    from segmentation.prediction.onnx_predictor import OnnxPredictor
    from segmentation.runtime.devices import choose_device, prepare

    prepare(choose_device(), keep_memory=False)
    name = choose_network(model)
    file, out = checkpoint_path(name), out or Path("exports") / f"{name}.onnx"
    checkpoint, split = load_checkpoint(file), read_json(SPLIT, "split", Split)
    meta, graph = checkpoint.meta, ImagesToProbabilities(checkpoint)
    metadata = {
        "model": name,
        "threshold": repr(meta.threshold),
        "foreground": ",".join(meta.foreground),
        "checkpoint_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    print(f"{file}: converting, which may take minutes", flush=True)
    content = to_onnx(graph, metadata)
    images = read_images(RAW, split["val"][:CHECKED])
    print(f"comparing with the checkpoint on {len(images)} validation images", flush=True)
    predictor = with_precision(Predictor.load(file), "float32")  # as the file; the training's may be bfloat16
    check = compare(graph, predictor, OnnxPredictor.of_bytes(content, str(out)), images)
    check.require()
    print(check)
    write_bytes(out, content)
    print(f"{out}: {len(content) / 1e6:.1f} MB; use it:")
    print(f"python -m tools.predict --checkpoint {out} photo.jpg")


if __name__ == "__main__":
    parser = make_parser(__doc__)
    parser.add_argument("--model", metavar="NAME", help="such as unet; default: the better on validation")
    parser.add_argument("--out", type=path_argument, metavar="FILE", help="default: exports/NAME.onnx")
    run(main, parser)
