"""Go back to the last commit: params.yaml, dvc.lock, metrics and outputs, whatever was interrupted.

It says what it discards, and asks nothing. All else stays as it is: code, dvc.yaml, documents, other files,
commits, experiments, and the states from which stopped trainings resume.
"""

from segmentation.common.command_line import make_parser, run


def main() -> None:
    """Restore what git tracks of the pipeline, then what DVC does."""
    from segmentation.going_back import go_back

    go_back()


if __name__ == "__main__":
    run(main, make_parser(__doc__))
