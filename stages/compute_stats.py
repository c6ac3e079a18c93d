"""Compute the mean and standard deviation of the training images' pixels."""

from segmentation.common.artifacts import RAW, SPLIT, STATS, Split
from segmentation.common.command_line import make_parser, run
from segmentation.common.dataset_layout import image_path
from segmentation.common.files import read_json, write_json
from segmentation.params import load_params
from segmentation.pixel_stats import compute_stats


def main() -> None:
    """Read data/raw/ and data/split.json, write data/stats.json."""
    load_params()  # it uses none, but a wrong file stops every stage
    split = read_json(SPLIT, "split", Split)
    stats = compute_stats([image_path(RAW, image_id) for image_id in split["train"]])
    write_json(STATS, stats)
    mean, std = (" ".join(f"{value:.4f}" for value in stats[key]) for key in ("mean", "std"))
    print(f"{stats['images']} images: mean {mean}, std {std} (red, green, blue)")


if __name__ == "__main__":
    run(main, make_parser(__doc__))
