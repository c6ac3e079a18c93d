"""Say how large the objects of a dataset are in what networks see, and propose settings.

PATH is a folder as `data.folder.path` has it. Without it, what the stage `download` has brought is measured.
What is foreground, and how files are read, is as params.yaml says. Nothing is trained or written.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from segmentation.common.command_line import make_parser, path_argument, run


def main(path: Path | None) -> None:
    """Print what the data is, and the proposal as a line to paste."""
    from segmentation.common.artifacts import RAW
    from segmentation.params import load_params
    from segmentation.planning import choose_geometry, command, measure, settings, table
    from segmentation.sources.folder import write_folder

    params = load_params()
    foreground = params.data.foreground
    folder = path.resolve() if path and path.resolve() != RAW.resolve() else None
    if folder:
        with TemporaryDirectory() as raw:
            print(*write_folder(Path(raw), folder, params.data.folder)[0], sep="\n")
            facts, lines = measure(Path(raw), foreground)
    else:
        facts, lines = measure(RAW, foreground)
    print(*lines, *table(facts, choose_geometry(facts)), sep="\n")
    print(command(settings(facts, params.train.batch_size), folder))


if __name__ == "__main__":
    parser = make_parser(__doc__)
    parser.add_argument("path", nargs="?", type=path_argument, metavar="PATH", help="default: data/raw")
    run(main, parser)
