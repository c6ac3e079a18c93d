"""Ask questions of several runs each: train the missing ones, then say what the results show.

`run FILE` trains the runs that a file of questions in experiments/ needs and that have no results yet, one
after the other, or with --launcher as tasks of a cluster; after an interruption the same command resumes.
Then, and without a command, the results are read and experiments/results/*.md written.
"""

from argparse import SUPPRESS
from typing import Any

from segmentation.common.command_line import checked, make_parser, path_argument, run


def main(command: str | None, **options: Any) -> None:
    """Train what FILE needs, if there is one; then write what all results show."""
    from segmentation.experiments.asking import ask

    ask(**options)


def option(text: str) -> tuple[str, str | bool]:
    """Read an option of sbatch, KEY=VALUE or KEY, from the command line."""
    key, equals, value = text.partition("=")
    return key, value if equals else True


if __name__ == "__main__":
    positive = checked(int, lambda value: value >= 1, "at least 1")
    sbatch = checked(option, lambda pair: pair[0] != "", "KEY=VALUE or KEY")
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(dest="command")
    about = "train the runs that a file of questions needs"
    add = commands.add_parser("run", help=about, allow_abbrev=False, argument_default=SUPPRESS).add_argument
    add("file", type=path_argument, help="a file of questions in experiments/")
    text = "where an archive is (data.pets.*_url), or machine.*; may be repeated"
    add("-S", "--set-param", action="append", metavar="KEY=VALUE", help=text)
    add("--launcher", choices=("slurm",), help="train as tasks of a Slurm cluster")
    add("--at-once", type=positive, metavar="N", help="how many tasks run at once (default: 8)")
    add("--minutes", type=positive, metavar="N", help="until a task is stopped, and resumed (default: 240)")
    text = "an option of sbatch, such as partition=gpu or gres=gpu:1; may be repeated"
    add("--sbatch", action="append", type=sbatch, metavar="KEY=VALUE", help=text)
    run(main, parser)
