"""Write one page about the latest run, to be opened in a browser: report/index.html."""

from pathlib import Path

from segmentation.common.command_line import make_parser, run
from segmentation.common.files import fault, write_bytes
from segmentation.params import PARAMS
from segmentation.report.page import page
from segmentation.report.results import read_results

PAGE = Path("report/index.html")


def main() -> None:
    """Read what the stages left in data/ and metrics/."""
    html = page(read_results(), PARAMS.read_text(encoding="utf-8"))
    with fault(PAGE):
        PAGE.parent.mkdir(exist_ok=True)
        write_bytes(PAGE, html.encode())
    print(f"report: {PAGE}")


if __name__ == "__main__":
    run(main, make_parser(__doc__))
