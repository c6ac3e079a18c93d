"""Score all networks and the trivial baselines on the test images, and draw examples."""

from tqdm import tqdm

from segmentation.common.artifacts import OVERLAYS, RAW, SPLIT, TEST_METRICS, Split
from segmentation.common.command_line import make_parser, run
from segmentation.common.files import read_json, replace_dir, write_bytes, write_json
from segmentation.evaluation.baselines import score_baselines
from segmentation.evaluation.checkpoints import load_checkpoints
from segmentation.evaluation.compare import compare
from segmentation.evaluation.overlays import examples, sheet
from segmentation.evaluation.tables import results_table, start_note
from segmentation.inference.dataset_pass import score
from segmentation.inference.predictor import Predictor
from segmentation.loading.cache import make_caches
from segmentation.loading.dataset import SegmentationDataset
from segmentation.loading.loader import Batches, loader_workers
from segmentation.models.build import network_title
from segmentation.params import load_params
from segmentation.runtime.devices import choose_device, prepare
from segmentation.runtime.memory import enough_memory
from segmentation.scoring.scores import SOFT_DICE_BATCH, dice


def main() -> None:
    """Read checkpoints, split and images, write metrics/test.json and metrics/plots/overlays/."""
    params, split = load_params(), read_json(SPLIT, "split", Split)
    checkpoints = load_checkpoints()
    meta = next(iter(checkpoints.values())).meta
    device = choose_device()
    prepare(device)
    workers = loader_workers(device, SOFT_DICE_BATCH, meta.size)
    (cache,) = make_caches([len(split["test"])], meta.size, params.machine.cache_bytes)
    test = SegmentationDataset(RAW, split["test"], meta.size, meta.foreground, cache=cache)
    train = SegmentationDataset(RAW, split["train"], meta.size, meta.foreground)
    remedy = "close other programs, or train with a lower image.size or model.width"
    with enough_memory(SOFT_DICE_BATCH, meta.size, remedy):
        predictors = {name: Predictor.from_checkpoint(each) for name, each in checkpoints.items()}
        batches = Batches(test, SOFT_DICE_BATCH, workers=workers)
        scored = {
            name: score(predictor, tqdm(batches.epoch(0), name, len(batches), disable=None))
            for name, predictor in predictors.items()
        }
        metrics = compare(scored, score_baselines(test, train), params.evaluate.bootstrap)
    with replace_dir(OVERLAYS) as folder:
        for name, predictor in predictors.items():
            rows = examples(predictor, test, dice(scored[name].counts))
            title = f"{network_title(name)} on {len(test)} test images"
            write_bytes(folder / f"{name}.png", sheet(title, rows))
    write_json(TEST_METRICS, metrics)
    print(results_table(metrics))
    for name, (_, meta) in checkpoints.items():
        if meta.started_from:
            print(start_note(name, meta.started_from))


if __name__ == "__main__":
    run(main, make_parser(__doc__))
