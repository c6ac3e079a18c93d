"""Decide which images train, validate and test; check every image and name what is dropped."""

import sys

from segmentation.common.artifacts import RAW, SPLIT
from segmentation.common.command_line import make_parser, run
from segmentation.common.files import write_json
from segmentation.common.geometry import Geometry
from segmentation.params import load_params
from segmentation.splitting.checks import check_dataset, describe, describe_small
from segmentation.splitting.parts import describe_twins, split_dataset

FEW = 5  # validation images


def main() -> None:
    """Read data/raw/, write data/split.json."""
    params = load_params()
    data, image = params.data, params.image
    geometry = Geometry(image.size, image.resize, image.fit, image.scale)
    checked = check_dataset(RAW, data.foreground, geometry)
    split = split_dataset(RAW, data, checked)
    for dropped in split["dropped"]:
        print(f"dropped {dropped['id']}: {dropped['reason']}", file=sys.stderr)
    print(*describe(checked), *describe_twins(split, checked), sep="\n")
    for line in describe_small(checked, geometry):  # which refuses a size at which all vanish
        print(line)
    if len(split["val"]) < FEW:
        remedy = "raise data.val_fraction, or take several splits (experiments/folds.yaml)"
        print(f"warning: only {len(split['val'])} of the images choose epoch and threshold; {remedy}")
    write_json(SPLIT, split)
    print(f"train {len(split['train'])}, val {len(split['val'])}, test {len(split['test'])} images")


if __name__ == "__main__":
    run(main, make_parser(__doc__))
