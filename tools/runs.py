"""List the experiments since the last commit, one a line, as `dvc exp show --json` knows them.

Each has its state; of each network the mean Dice of the test images, the 95 % interval of that, and how much
more it is than at the last commit; and the params that differ from that commit's.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from segmentation.common.command_line import make_parser, run
from segmentation.common.errors import InputError

WIDTH, NAME_WIDTH = 100, 18  # of the table, and of a run's name in it
NO_SCORES = ("queued", "running", "failed", "not run")  # there, DVC shows those of the commit

Run = tuple[str, str, dict[str, Any], dict[str, Any]]  # name, state, params by dotted name, scores by network


def main(md: bool) -> None:
    """Ask DVC, and print the table."""
    from segmentation.workspace import call

    if not Path("dvc.yaml").exists():
        raise InputError("dvc.yaml: no such file; run from the folder that holds it")
    rows = table(list(read_runs(json.loads(call("dvc", "exp", "show", "--json")))), whole_names=md)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [(" | " if md else "  ").join(map(str.ljust, row, widths)).rstrip() for row in rows]
    if md:
        lines.insert(1, " | ".join("-" * width for width in widths))
        lines = [f"| {line} |" for line in lines]
    print(*(line if md or len(line) <= WIDTH else f"{line[: WIDTH - 1]}…" for line in lines), sep="\n")


def read_runs(shown: Sequence[Mapping[str, Any]]) -> Iterator[Run]:
    """Yield the last commit, the workspace, and the experiments of that commit."""
    from segmentation.common.leaves import flat
    from segmentation.workspace import other_results

    workspace, commit = shown[:2]
    here = "not run" if other_results() else ""
    runs = [(commit["name"], "commit", commit), ("workspace", here, workspace)]
    for experiment in commit["experiments"] or []:
        state = (experiment["executor"] or {"state": "success"})["state"]
        runs.append((experiment["name"], state.replace("success", "finished"), experiment["revs"][0]))
    for name, state, one in runs:
        data = one["data"] or {"params": {}, "metrics": {}}  # DVC cannot read that commit
        params = data["params"].get("params.yaml", {}).get("data", {})
        test = data["metrics"].get("metrics/test.json", {}).get("data", {})
        scores = {} if state in NO_SCORES else {key: test[key] for key in test if key != "difference"}
        yield name or one["rev"][:7], state, flat(params), scores


def table(runs: Sequence[Run], whole_names: bool) -> list[list[str]]:
    """Return the header and a row of cells for each run; the last commit comes first."""
    _, _, base, before = runs[0]
    networks = list(dict.fromkeys(network for *_, scores in runs for network in scores))
    uses = Counter(key.rpartition(".")[2] for key in base)
    rows = [["run", "state", *(f"{network}, 95 %, change" for network in networks), "params"]]
    for name, state, params, scores in runs:
        row = [name if whole_names else name[:NAME_WIDTH], state]
        for network in networks:
            cells = []
            if score := scores.get(network):
                low, high = (f"{score[key]:.3f}".lstrip("0") for key in ("dice_low", "dice_high"))
                cells = [f"{score['dice']:.3f} {low}-{high}"]
                if network in before and scores is not before:
                    cells.append(f"{score['dice'] - before[network]['dice']:+.3f}")
            row.append(" ".join(cells))
        changed = ""
        for key, value in params.items():
            if base.get(key) != value:
                leaf = key.rpartition(".")[2]
                shown = key if whole_names or uses[leaf] > 1 else leaf
                changed += f"{shown}={value if isinstance(value, str) else json.dumps(value)} "
        rows.append([*row, changed.rstrip()])
    return rows


if __name__ == "__main__":
    parser = make_parser(__doc__)
    parser.add_argument("--md", action="store_true", help="as Markdown, with whole names")
    run(main, parser)
