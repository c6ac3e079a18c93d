"""Print the table of results and say where the overlays are."""

from segmentation.common.command_line import command_line, run
from segmentation.common.artifacts import OVERLAYS, TEST_METRICS
from segmentation.common.files import read_json
from segmentation.evaluation.tables import EXPLANATION, results_table


def main() -> None:
    """Read metrics/test.json."""
    print(results_table(read_json(TEST_METRICS, "evaluate", dict)))
    print(f"\n{EXPLANATION}\n")
    for path in sorted(OVERLAYS.glob("*.png")):
        print(f"overlays: {path}")


if __name__ == "__main__":
    run(main, command_line(__doc__))
