"""Let `dvc plots show` and `dvc plots diff` work without a network: `make setup` calls this once.

DVC's page loads the library that draws its plots from the network. This writes a template that contains it,
and points DVC at the template in the configuration of this clone.
"""

from pathlib import Path

from segmentation.common.command_line import make_parser, run
from segmentation.common.errors import InputError

DVC = Path(".dvc")
TEMPLATE = Path("plots.html")  # below .dvc/, from where DVC looks; git ignores it

VEGA_LITE = "5.21"  # DVC's specifications are of version 5

# A classic script, in a function of its own: as a module it would run after the plots' own scripts.
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{refresh_tag}
<title>DVC plots</title>
<script>(function () {%s})();</script>
</head>
<body>
{plot_divs}
</body>
</html>
"""


def main() -> None:
    """Write .dvc/plots.html, and its name into .dvc/config.local."""
    import vl_convert

    from segmentation.common.files import write_bytes
    from segmentation.workspace import call

    if not DVC.is_dir():
        raise InputError(f"{DVC}: no such folder; run from the folder that holds it")
    library = vl_convert.javascript_bundle(vl_version=VEGA_LITE)  # type: ignore[call-arg]
    write_bytes(DVC / TEMPLATE, (PAGE % library).encode())
    call("dvc", "config", "--local", "plots.html_template", str(TEMPLATE))
    print(f"dvc plots: works without a network ({DVC / TEMPLATE})")


if __name__ == "__main__":
    run(main, make_parser(__doc__))
