"""Train U-Net on the training images and keep the best epoch by the validation score."""

from segmentation.common.command_line import make_parser, run
from segmentation.params import load_params
from segmentation.training.run import train_network


def main() -> None:
    """Write checkpoints/unet.pt, metrics/train_unet.json and metrics/plots/train_unet.csv."""
    train_network("unet", load_params())


if __name__ == "__main__":
    run(main, make_parser(__doc__))
