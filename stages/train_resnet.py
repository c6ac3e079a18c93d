"""Stage: train the ResNet34-UNet on the training pictures, keep the best epoch by the validation score."""

from stages.segmentation.errors import run
from stages.segmentation.experiment import train_network
from stages.segmentation.params import load_params


def main() -> None:
    """Write checkpoints/resnet.pt, metrics/train_resnet.json and metrics/plots/train_resnet.csv."""
    train_network("resnet", load_params())


if __name__ == "__main__":
    run(main)
