"""`python -m tools.serve`: what it refuses before it listens."""

import socket
import sys
from pathlib import Path

import pytest
from commands import RunHere
from projects import copied

from segmentation.common.artifacts import RAW
from segmentation.common.dataset_layout import LIST
from segmentation.serving.examples import choose_examples
from segmentation.serving.networks import load_networks


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--checkpoint", "nothing.pt"], "nothing.pt: no such checkpoint"),
        (["--checkpoint", "checkpoints"], "checkpoints: not a checkpoint of this program"),
        (["--checkpoint", "params.yaml"], "params.yaml: not a checkpoint of this program"),
        (["--checkpoint", "checkpoints/unet.pt", "checkpoints/unet.pt"], "another file is called unet too"),
        (["--port", "65536"], "--port: 65536: allowed: 0 to 65535"),
        (["--root-path", "http://x/masks"], "--root-path: http://x/masks: allowed: a path such as /masks"),
        (["--port", "http"], "--port: http: allowed: 0 to 65535"),
    ],
)
def test_bad_input(arguments: list[str], said: str, finished: Path, run_here: RunHere) -> None:
    status, _, stderr = run_here(finished, "tools.serve", *arguments)
    assert (status, stderr.count("\n")) == (2, 1) and said in stderr


def test_an_address_that_cannot_be_had(finished: Path, run_here: RunHere) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        status, _, stderr = run_here(finished, "tools.serve", "--port", port)
    assert (status, stderr.count("\n")) == (1, 1) and f"--port {port}: Address already in use" in stderr
    for host in ("192.0.2.1", "\N{LATIN SMALL LETTER A WITH DIAERESIS}" * 70):  # too long for a name
        status, _, stderr = run_here(finished, "tools.serve", "--host", host)
        assert (status, stderr.count("\n")) == (1, 1) and f"--host {host}" in stderr


def test_it_says_what_to_install(finished: Path, run_here: RunHere, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [module for module in sys.modules if module.startswith("segmentation.serving")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    status, _, stderr = run_here(finished, "tools.serve")
    assert status == 2 and "needs uvicorn; `make setup`" in stderr


def test_a_dataset_that_is_not_whole(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks answer; there are no examples."""
    project = copied(finished, tmp_path)
    monkeypatch.chdir(project)
    known = [network.meta for network in load_networks([]).values()]
    assert choose_examples(known)
    (project / RAW / LIST).unlink()
    networks = load_networks([]).values()
    assert len(networks) == 2 and not any(network.sample for network in networks)
    assert choose_examples(known) == []
