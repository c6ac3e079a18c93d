"""Ask questions of several runs each: train the missing ones, then say what the results show.

`run FILE` trains the runs that a file of questions in experiments/ needs and that have no results yet, one
after the other, or with --launcher as tasks of a cluster; after an interruption the same command resumes.
Then, and without a command, the results are read and experiments/results/*.md written.
"""

from argparse import SUPPRESS, ArgumentTypeError
from typing import Any

from segmentation.common.command_line import checked, make_parser, path_argument, run


def main(command: str | None, **options: Any) -> None:
    """Train what FILE needs, if there is one; then write what all results show."""
    from segmentation.experiments.asking import ask

    ask(**options)


def option(text: str) -> tuple[str, str | bool]:
    """Read an option of sbatch, KEY=VALUE or KEY, from the command line."""
    key, equals, value = text.partition("=")
    if not key:
        raise ArgumentTypeError(f"{text}: must be KEY=VALUE or KEY")
    return key, value if equals else True


if __name__ == "__main__":
    positive = checked(int, lambda value: value >= 1, "at least 1")
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(dest="command")
    help_text = "train the runs that a file of questions needs"
    run_command = commands.add_parser("run", help=help_text, allow_abbrev=False, argument_default=SUPPRESS)
    run_command.add_argument("file", type=path_argument, help="a file of questions in experiments/")
    help_text = "where an archive is (data.pets.*_url), or machine.*; may be repeated"
    run_command.add_argument("-S", "--set-param", action="append", metavar="KEY=VALUE", help=help_text)
    help_text = "train as tasks of a Slurm cluster, or, to try it, as processes here"
    run_command.add_argument("--launcher", choices=("slurm", "local"), help=help_text)
    help_text = "how many tasks run at once (default: 8)"
    run_command.add_argument("--at-once", type=positive, metavar="N", help=help_text)
    help_text = "after how long a task is stopped and submitted again, to resume (default: 240)"
    run_command.add_argument("--minutes", type=positive, metavar="N", help=help_text)
    help_text = "an option of sbatch, such as partition=gpu or gres=gpu:1; may be repeated"
    run_command.add_argument("--sbatch", action="append", type=option, metavar="KEY=VALUE", help=help_text)
    run(main, parser)
