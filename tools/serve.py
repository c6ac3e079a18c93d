"""Try trained networks in a browser, or call them from programs.

Open the address that is printed, and drop a photo on the page. Programs post images to /predict
(docs/serving.md). Without --checkpoint, all networks that were trained here answer. Ctrl-C stops.
"""

import re
from pathlib import Path

from segmentation.common.command_line import checked, make_parser, path_argument, run


def main(host: str, port: int, checkpoint: list[Path], root_path: str) -> None:
    """Answer requests until a signal."""
    from segmentation.runtime.devices import choose_device, prepare
    from segmentation.serving.server import serve

    prepare(choose_device(), keep_memory=False)
    serve(host, port, checkpoint, root_path)


if __name__ == "__main__":
    port = checked(int, lambda value: 0 <= value < 2**16, "0 to 65535; 0 takes any free port")
    prefix = checked(str, lambda text: not re.search("://|[?#]", text), "a path such as /masks")
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--host", default="127.0.0.1", metavar="ADDRESS", help="default: %(default)s, this machine")
    add("--port", type=port, default=8000, metavar="N", help="default: %(default)s")
    add("--checkpoint", nargs="+", action="extend", type=path_argument, default=[], metavar="FILE")
    add("--root-path", type=prefix, default="", metavar="PREFIX", help="under which a proxy shows it: /masks")
    run(main, parser)
