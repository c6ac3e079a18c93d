"""Tool: print the table of results and say where the pictures are."""

from segmentation.common.errors import run
from segmentation.common.dataset_layout import METRICS, PLOTS
from segmentation.common.files import read_json
from segmentation.evaluation.tables import EXPLANATION, results_table


def main() -> None:
    """Read metrics/test.json."""
    print(results_table(read_json(METRICS / "test.json", "evaluate", dict)))
    print(f"\n{EXPLANATION}\n")
    for path in sorted((PLOTS / "overlays").glob("*.png")):
        print(f"pictures: {path}")


if __name__ == "__main__":
    run(main)
