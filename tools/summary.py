"""Print the table of results and say where the overlays are."""

from segmentation.common.artifacts import OVERLAYS, TEST_METRICS
from segmentation.common.command_line import make_parser, run
from segmentation.common.errors import InputError
from segmentation.common.files import read_json
from segmentation.evaluation.tables import EXPLANATION, results_table


def main() -> None:
    """Read metrics/test.json."""
    metrics = read_json(TEST_METRICS, "evaluate", dict)
    try:
        print(results_table(metrics))
    except (KeyError, IndexError, TypeError, AttributeError):
        problem = "damaged, or of another version of this program"
        raise InputError(f"{TEST_METRICS}: {problem}; run `python -m stages.evaluate` again") from None
    print(f"\n{EXPLANATION}\n")
    for path in sorted(OVERLAYS.glob("*.png")):
        print(f"overlays: {path}")


if __name__ == "__main__":
    run(main, make_parser(__doc__))
