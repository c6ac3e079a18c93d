"""Tool: print the table of results and say where the pictures are."""

from stages.segmentation.errors import run
from stages.segmentation.files import read_json
from stages.segmentation.layout import METRICS, PLOTS
from stages.segmentation.tables import EXPLANATION, results_table


def main() -> None:
    """Read metrics/test.json."""
    print(results_table(read_json(METRICS / "test.json", "evaluate", dict)))
    print(f"\n{EXPLANATION}\n")
    for path in sorted((PLOTS / "overlays").glob("*.png")):
        print(f"pictures: {path}")


if __name__ == "__main__":
    run(main)
