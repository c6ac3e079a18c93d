"""Write one page about the latest run, to be opened in a browser: report/index.html."""

from pathlib import Path

from segmentation.common.command_line import make_parser, run
from segmentation.common.errors import InputError

PAGE = Path("report/index.html")


def main() -> None:
    """Read what the stages left in data/ and metrics/."""
    from jinja2 import UndefinedError

    from segmentation.common.files import write_bytes
    from segmentation.prediction.load import warn_of_results
    from segmentation.report.outputs import read_outputs
    from segmentation.report.page import page

    outputs = read_outputs()
    try:
        html = page(outputs)
    except (LookupError, TypeError, ValueError, AttributeError, UndefinedError):
        problem = "damaged, or of different runs or versions; run `dvc repro` or `dvc checkout`"
        raise InputError(f"data/ or metrics/: {problem}") from None
    write_bytes(PAGE, html.encode())
    warn_of_results()
    print(f"report: {PAGE}")


if __name__ == "__main__":
    run(main, make_parser(__doc__))
