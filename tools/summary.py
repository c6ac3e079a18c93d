"""Print the table of results and say where the overlays are."""

from segmentation.common.command_line import make_parser, run
from segmentation.common.errors import InputError


def main() -> None:
    """Read metrics/test.json, metrics/details.json and metrics/train_*.json."""
    from segmentation.common.artifacts import DETAILS, OVERLAYS, TEST_METRICS, training_summary_path
    from segmentation.common.files import read_json
    from segmentation.evaluation.tables import EXPLANATION, notes, results_table, start_note
    from segmentation.models.build import network_names
    from segmentation.prediction.load import warn_of_results

    metrics, details = (read_json(path, "evaluate", dict) for path in (TEST_METRICS, DETAILS))
    warn_of_results()
    try:
        print(results_table(metrics, details))
        print("\n".join(notes(details)))
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        problem = "damaged, or of another version of this program; `dvc repro` makes them again"
        raise InputError(f"{TEST_METRICS}, {DETAILS}: {problem}") from None
    for name in network_names():
        path = training_summary_path(name)
        if path.exists() and (started_from := read_json(path, f"train_{name}", dict).get("started_from")):
            print(start_note(name, started_from))
    print(f"\n{EXPLANATION}\n")
    for path in sorted(OVERLAYS.glob("*.png")):
        print(f"overlays: {path}")


if __name__ == "__main__":
    run(main, make_parser(__doc__))
