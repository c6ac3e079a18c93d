"""All tools as one command, where this project is installed: `petseg predict` is `tools.predict`."""

import importlib
import runpy
import signal
import sys
from pathlib import Path


def main() -> None:
    """Run the tool that the first argument names, or list all of them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the tool listens, Ctrl-C ends it without a traceback
    names = sorted({path.stem for path in Path(__file__).parent.glob("[a-z]*.py")} - {"petseg"})
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in names:
        sys.argv = [f"petseg {name}", *arguments]
        runpy.run_module(f"{__package__}.{name}", run_name="__main__")
    elif name in ("-h", "--help"):
        print("usage: petseg TOOL …    (petseg TOOL --help says more)\n")
        for tool in names:
            doc = importlib.import_module(f"{__package__}.{tool}").__doc__ or ""
            print(f"{tool:<14} {doc.splitlines()[0]}")
    else:
        print(f"petseg: error: no tool {name!r}; there are {', '.join(names)}", file=sys.stderr)
        sys.exit(2)
