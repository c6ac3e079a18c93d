"""Stage: train U-Net on the training pictures, keep the best epoch by the validation score."""

from stages.segmentation.errors import run
from stages.segmentation.experiment import train_network
from stages.segmentation.params import load_params


def main() -> None:
    """Write checkpoints/unet.pt, metrics/train_unet.json and metrics/plots/train_unet.csv."""
    train_network("unet", load_params())


if __name__ == "__main__":
    run(main)
