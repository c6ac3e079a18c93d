"""All tools as one command, where this project is installed: `petseg predict` is `tools.predict`."""

import importlib
import pkgutil
import runpy
import signal
import sys
from importlib.util import find_spec


def main() -> None:
    """Run the tool that the first argument names, or list all of them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the tool listens, Ctrl-C ends it without a traceback
    # Installed, the tools lie within this package (pyproject.toml); from a clone, `pip install -e`, beside it.
    package = "segmentation.tools" if find_spec("segmentation.tools") else "tools"
    names = [tool.name for tool in pkgutil.iter_modules(importlib.import_module(package).__path__)]
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in names:
        sys.argv = [f"petseg {name}", *arguments]
        runpy.run_module(f"{package}.{name}", run_name="__main__")
    elif name in ("-h", "--help"):
        print("usage: petseg TOOL …    (petseg TOOL --help says more)\n")
        for tool in names:
            doc = importlib.import_module(f"{package}.{tool}").__doc__ or ""
            print(f"{tool:<14} {doc.splitlines()[0]}")
    else:
        print(f"petseg: error: no tool {name!r}; there are {', '.join(names)}", file=sys.stderr)
        sys.exit(2)
