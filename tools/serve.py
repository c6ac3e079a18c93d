"""Try trained networks in a browser, or call them from programs.

Open the address that is printed, and drop a photo on the page. Programs post images to /predict
(docs/serving.md). Without --checkpoint, all networks that were trained here answer. Ctrl-C stops.
"""

import argparse
from contextlib import suppress
from pathlib import Path

from segmentation.common.command_line import make_parser, path_argument, run
from segmentation.common.errors import InputError


def main(host: str, port: int, checkpoint: list[Path], root_path: str) -> None:
    """Answer requests until a signal."""
    try:
        from segmentation.runtime.devices import choose_device, prepare
        from segmentation.serving.server import serve
    except ModuleNotFoundError as error:
        raise InputError(f"needs {error.name}; `pip install -r requirements-serve.txt`") from None
    prepare(choose_device(), keep_memory=False)
    serve(host, port, checkpoint, root_path)


def prefix(text: str) -> str:
    """Read the part of an address under which a proxy shows the server, such as /masks."""
    if "://" in text or set(text) & set("?#"):
        raise argparse.ArgumentTypeError(f"{text}: allowed: a path such as /masks")
    return text


def port_number(text: str) -> int:
    """Read a port's number; 0 is any free one."""
    with suppress(ValueError):
        if 0 <= int(text) < 2**16:
            return int(text)
    raise argparse.ArgumentTypeError(f"{text}: allowed: 0 to 65535; 0 takes any free port")


if __name__ == "__main__":
    parser = make_parser(__doc__)
    help_text = "default: %(default)s, this machine"
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help=help_text)
    parser.add_argument("--port", type=port_number, default=8000, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--checkpoint", nargs="+", action="extend", type=path_argument, default=[], metavar="FILE"
    )
    help_text = "under which a proxy shows this server, as /masks"
    parser.add_argument("--root-path", type=prefix, default="", metavar="PREFIX", help=help_text)
    run(main, parser)
