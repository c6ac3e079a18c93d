"""Stage: score both networks and the trivial baselines on the test pictures, and draw examples."""

from stages.segmentation.errors import InputError, run
from stages.segmentation.cache import caches
from stages.segmentation.checkpoints import Network, load_checkpoint
from stages.segmentation.dataset import SegmentationDataset
from stages.segmentation.devices import choose_device, enough_memory, loader_workers, prepare_cpu
from stages.segmentation.evaluation import compare, predict_mask
from stages.segmentation.files import read_json, rebuilt_folder, write_bytes, write_json
from stages.segmentation.inference import Scored
from stages.segmentation.layout import CHECKPOINTS, METRICS, PLOTS, RAW, SPLIT, Split, image_path
from stages.segmentation.overlays import Example, extremes, sheet
from stages.segmentation.params import load_params
from stages.segmentation.pictures import open_rgb
from stages.segmentation.scores import REPORT_BATCH, dice
from stages.segmentation.tables import TITLES, results_table


def main() -> None:
    """Read checkpoints, split and pictures, write metrics/test.json and metrics/plots/overlays/."""
    params, split = load_params(), read_json(SPLIT, "split", Split)
    networks = {name: load_checkpoint(CHECKPOINTS / f"{name}.pt") for name in ("unet", "resnet")}
    first, second = (network.meta for network in networks.values())
    size, foreground = first.size, first.foreground
    if (size, foreground) != (second.size, second.foreground):
        raise InputError(f"{CHECKPOINTS}: trained for different sizes or foregrounds; run `dvc repro`")
    shared = loader_workers(choose_device()) > 0
    (cache,) = caches([len(split["test"])], size, params.machine.cache_bytes, shared)
    test = SegmentationDataset(RAW, split["test"], size, foreground, cache=cache)
    train = SegmentationDataset(RAW, split["train"], size, foreground)
    prepare_cpu()
    more = "close what else runs here, or train with a lower image.size or model.width"
    with enough_memory(REPORT_BATCH, size, more):
        metrics, scored = compare(networks, test, train, params.evaluate.bootstrap)
    with rebuilt_folder(PLOTS / "overlays") as folder:
        for name, network in networks.items():
            rows = examples(network, test, scored[name])
            title = f"{TITLES[name]} on {len(test)} test pictures"
            write_bytes(folder / f"{name}.png", sheet(title, rows))
    write_json(METRICS / "test.json", metrics)
    print(results_table(metrics))


def examples(
    network: Network, pictures: SegmentationDataset, scored: Scored
) -> list[tuple[str, list[Example]]]:
    """The best, median and worst test pictures of a network, with its predictions."""
    values = dice(scored.counts)

    def example(position: int) -> Example:
        image, truth = pictures.read(position)
        picture_id = pictures.ids[position]
        shown = open_rgb(image_path(pictures.raw, picture_id))
        return Example(picture_id, shown, truth, predict_mask(network, image), float(values[position]))

    return [(label, [example(each) for each in positions]) for label, positions in extremes(values)]


if __name__ == "__main__":
    run(main)
