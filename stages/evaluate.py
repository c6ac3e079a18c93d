"""Stage: score both networks and the trivial baselines on the test pictures, and draw examples."""

from segmentation.common.errors import InputError, run
from segmentation.common.dataset_layout import CHECKPOINTS, METRICS, PLOTS, RAW, SPLIT, Split, image_path
from segmentation.common.files import read_json, rebuilt_folder, write_bytes, write_json
from segmentation.common.image_io import open_rgb
from segmentation.evaluation.compare import compare, predict_mask
from segmentation.evaluation.overlays import Example, extremes, sheet
from segmentation.evaluation.tables import TITLES, results_table
from segmentation.inference.dataset_pass import Scored
from segmentation.loading.cache import caches
from segmentation.loading.dataset import SegmentationDataset
from segmentation.models.checkpoints import Network, load_checkpoint
from segmentation.params import load_params
from segmentation.runtime.devices import choose_device, enough_memory, loader_workers, prepare_cpu
from segmentation.scoring.scores import REPORT_BATCH, dice


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
