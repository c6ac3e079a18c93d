"""Predict photos: masks, cut-outs, overlays or probabilities, each in the photo's own upright size.

PATH is a file, a folder (and everything in it) or a glob in quotes; `-` reads one image from standard
input and writes its result to standard output. Results are PNG files: NAME.png for a mask, NAME.KIND.png for
the other kinds. What exists already is skipped, whatever network or photo it came from, so an interrupted run
resumes where it stopped. A photo that cannot be read is named and listed in errors.csv; the exit status is 1.
"""

import os
import time
from pathlib import Path
from typing import Literal

from segmentation.common.command_line import checked, make_parser, path_argument, run
from segmentation.common.errors import Fault, InputError


def main(
    paths: list[str],
    kind: list[str],
    model: str | None,
    checkpoint: Path | None,
    out: Path,
    threshold: float | None,
    tta: Literal["none", "flip"],
    batch: int,
    white: int | None,
    shard: str | None,
    force: bool,
) -> None:
    """Find the photos, predict what is missing, and sum up."""
    from segmentation.common.artifacts import checkpoint_path
    from segmentation.prediction import job
    from segmentation.prediction.inputs import choose_shard, find_photos, refuse_out
    from segmentation.prediction.kinds import split_kinds
    from segmentation.prediction.load import choose_network, load_predictor
    from segmentation.runtime.devices import choose_device, prepare

    prepare(choose_device(), keep_memory=False)
    kinds, paths = split_kinds(kind, paths)
    if not paths:
        raise InputError("no image named; --help says how")
    if paths == ["-"]:
        file = checkpoint or checkpoint_path(choose_network(model))
        job.pipe(kinds, load_predictor(file, threshold, tta), white)
        return
    paths = [os.path.expanduser(path) for path in paths]
    refuse_out(out, paths)
    photos, part = find_photos(paths), choose_shard(shard)
    tasks = job.plan(photos, out, kinds)[part.index :: part.count]
    left = tasks if force else job.missing(tasks)
    file = checkpoint or checkpoint_path(choose_network(model))
    predictor = load_predictor(file, threshold, tta)
    of_shard = f", shard {part.index} of {part.count}" if part.count > 1 else ""
    print(f"{file}, threshold {predictor.threshold:g}{of_shard}", flush=True)
    start, errors = time.perf_counter(), list[job.ReadError]()
    try:
        transparent = job.predict(predictor, left, batch, errors, white)
    finally:
        table = job.write_errors(out, part, errors)
    seconds, done = time.perf_counter() - start, len(left) - len(errors)
    kept = sum(len(task.outputs) for task in tasks) - sum(len(task.outputs) for task in left)
    skipped = f"; {kept} skipped, as files of these names exist (--force replaces them)" if kept else ""
    speed = f"{seconds:.1f} s ({done / seconds:.3g} a second)"
    print(f"{done} of {len(tasks)} images to {out}/ in {speed}{skipped}")
    if transparent:
        print(f"photos with transparent pixels, laid on white for the network: {transparent}")
    if errors:
        raise Fault(f"{len(errors)} of {len(tasks)} images could not be read; {table} lists them")


if __name__ == "__main__":
    share = checked(float, lambda value: 0 < value < 1, "a number > 0 and < 1")
    positive = checked(int, lambda value: value >= 1, "a whole number ≥ 1")
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("paths", nargs="*", metavar="PATH", help="photos")
    kinds = "mask, cutout, overlay, probability; default: mask"
    add("--kind", nargs="+", action="extend", default=[], metavar="KIND", help=kinds)
    network = parser.add_mutually_exclusive_group()
    network.add_argument("--model", metavar="NAME", help="such as unet; default: the better on validation")
    network.add_argument("--checkpoint", type=path_argument, metavar="FILE", help="a .pt or .onnx file")
    add("--out", type=path_argument, default=Path("predictions"), metavar="DIR", help="default: %(default)s")
    add("--threshold", type=share, metavar="T", help="default: the checkpoint's own")
    add("--tta", choices=["none", "flip"], default="none", help="flip: mean with the mirror image")
    add("--batch", type=positive, default=8, metavar="N", help="photos at a time; default: 8")
    add("--white", type=positive, metavar="N", help="value of 16-bit photos that becomes 255")
    add("--shard", metavar="I/N", help="every N-th photo from number I, 0 to N-1")
    add("--force", action="store_true", help="replace what exists")
    run(main, parser)
