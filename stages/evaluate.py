"""Score all networks on the test images, with intervals and paired differences, and show examples."""

from segmentation.common import artifacts
from segmentation.common.command_line import make_parser, run
from segmentation.common.files import read_json, replace_dir, write_bytes, write_json
from segmentation.common.tables import csv_bytes, read_csv
from segmentation.evaluation.evaluation import evaluate, load_checkpoints
from segmentation.evaluation.prediction_scores import BATCH_SIZE
from segmentation.evaluation.tables import notes, results_table, start_note
from segmentation.params import load_params
from segmentation.runtime.devices import choose_device, prepare
from segmentation.runtime.memory import enough_memory


def main() -> None:
    """Read checkpoints, split and images; write the scores, tables and example images below metrics/."""
    prepare(choose_device())
    params, split = load_params(), read_json(artifacts.SPLIT, "split", artifacts.Split)
    groups = read_csv(artifacts.GROUPS, "download", artifacts.GROUP_COLUMNS, may_be_empty=True)
    checkpoints = load_checkpoints(params.networks)
    meta = next(iter(checkpoints.values())).meta
    remedy = "close other programs, scale large photos down, or train with a lower image.size or model.width"
    with enough_memory(f"{BATCH_SIZE} images of {meta.size}x{meta.size} pixels a step", remedy):
        evaluation = evaluate(artifacts.RAW, split, groups, checkpoints, params.evaluate)
    for path, files in evaluation.folders.items():
        with replace_dir(path) as folder:
            for name, data in files.items():
                write_bytes(folder / name, data)
    write_bytes(artifacts.PER_IMAGE, csv_bytes(list(evaluation.per_image[0]), evaluation.per_image))
    write_json(artifacts.DETAILS, evaluation.details)
    write_json(artifacts.TEST_METRICS, evaluation.test)
    print(results_table(evaluation.test, evaluation.details))
    print("\n".join(notes(evaluation.details)))
    for name, checkpoint in checkpoints.items():
        if checkpoint.meta.started_from:
            print(start_note(name, checkpoint.meta.started_from))


if __name__ == "__main__":
    run(main, make_parser(__doc__))
