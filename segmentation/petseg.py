"""All tools as one command, where this project is installed: `petseg predict` is `tools.predict`."""

import importlib
import pkgutil
import runpy
import signal
import sys
from importlib.util import find_spec

from segmentation.common.command_line import make_parser, run


def main() -> None:
    """Run the tool that the first argument names, or say which there are."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the tool listens, Ctrl-C ends it without a traceback
    # Installed, the tools lie within this package (pyproject.toml); with `pip install -e`, beside it.
    package = "segmentation.tools" if find_spec("segmentation.tools") else "tools"
    names = [tool.name for tool in pkgutil.iter_modules(importlib.import_module(package).__path__)]
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in names:
        sys.argv[:2] = [f"petseg {name}"]
        runpy.run_module(f"{package}.{name}", run_name="__main__")
        return
    docs = {name: importlib.import_module(f"{package}.{name}").__doc__ or "" for name in names}
    lines = (f"{name:<14} {doc.splitlines()[0]}" for name, doc in docs.items())
    parser = make_parser("\n".join(["TOOL and its arguments; `petseg TOOL --help` says which:", "", *lines]))
    parser.add_argument("tool", choices=names, metavar="TOOL")
    run(lambda tool: None, parser)
