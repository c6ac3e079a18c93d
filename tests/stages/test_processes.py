"""Several processes that train one network: gloo on this machine's CPU."""

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from commands import run_stage
from projects import set_params

from segmentation.common import artifacts
from segmentation.common import dataset_layout as layout
from segmentation.models.checkpoints import load_checkpoint

TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]

pytestmark = pytest.mark.slow


def curve(project: Path, name: str) -> list[dict[str, float]]:
    with (project / f"metrics/plots/train_{name}.csv").open() as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def prepare(project: Path) -> None:
    # 13 images in batches of 5: the last step has 3, which two processes share unevenly. Dropout draws
    # per process, so it is off; everything else is the same for one process and for two, up to rounding.
    # Adam turns the rounding of a gradient near zero into a step of the learning rate, so that is small.
    set_params(project, data__limit=13, image__size=128, model__width=4, model__dropout=0.0)
    set_params(project, train__precision="float32", train__batch_size=5, train__lr=1e-4, train__epochs=3)
    set_params(project, augment__affine=0.5)
    assert run_stage(project, "split").returncode == 0


@pytest.mark.parametrize(
    ("name", "loss", "optimizer"), [("unet", "bce_dice", "muon"), ("resnet", "double_sigmoid", "adam")]
)
def test_two_processes_learn_what_one_does(project: Path, name: str, loss: str, optimizer: str) -> None:
    prepare(project)
    set_params(project, train__loss=loss, train__optimizer=optimizer)
    curves, weights = [], []
    for processes in (1, 2):
        set_params(project, train__processes=processes)
        finished = run_stage(project, f"train_{name}")
        assert finished.returncode == 0 and finished.stderr == "", finished.stderr
        assert ("2 processes" in finished.stdout) == (processes == 2)
        assert finished.stdout.count("epoch 3/3") == 1  # rank 0 alone prints
        curves.append(curve(project, name))
        network = load_checkpoint(project / f"checkpoints/{name}.pt")
        assert network.meta.processes == processes
        weights.append(network.model.state_dict())
    for one, two in zip(*curves, strict=True):
        assert one == pytest.approx(two, abs=1e-4)
    changed = [float((weights[0][key] - weights[1][key]).abs().max()) for key in weights[0]]
    assert max(changed) < 1e-2
    assert len(list((project / f"runs/{name}").iterdir())) == 2  # rank 0 alone writes


def test_two_machines_end_with_the_bytes_of_one(project: Path, tmp_path: Path) -> None:
    """torchrun as two launchers with a process each, and train.processes = 2: the same weights.

    Each launcher has a copy of the data, and stands for a machine; the first one writes.
    """
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])  # one launcher's two would get more threads
    prepare(project)
    set_params(project, train__processes=2, train__lr=2e-3, model__dropout=0.1)
    other = Path(shutil.copytree(project, tmp_path / "other", symlinks=True))
    one = Path(shutil.copytree(project, tmp_path / "one", symlinks=True))
    (status, first, _), (other_status, second, _) = on_two_machines(project, other)
    assert (status, other_status) == (0, 0)
    assert "2 processes" in first and "epoch 3/3" in first and second == ""
    assert not (other / "checkpoints/unet.pt").exists()
    finished = run_stage(one, "train_unet")
    assert finished.returncode == 0, finished.stderr
    paths = ["checkpoints/unet.pt", "metrics/plots/train_unet.csv"]
    for path in paths:
        assert (project / path).read_bytes() == (one / path).read_bytes()


def test_two_machines_with_different_settings(project: Path, tmp_path: Path) -> None:
    prepare(project)
    set_params(project, train__processes=2)
    other = Path(shutil.copytree(project, tmp_path / "other", symlinks=True))
    set_params(other, train__lr=0.002)
    for status, stdout, stderr in on_two_machines(project, other):
        assert status != 0 and "epoch" not in stdout
        assert "train_unet: error: process 1 differs from process 0: train.lr 0.0001 -> 0.002\n" in stderr
    assert not (project / "checkpoints/unet.pt").exists()


def test_another_number_of_processes_than_the_params_say(project: Path) -> None:
    prepare(project)
    finished = subprocess.run(
        [*TORCHRUN, "--standalone", "--nproc-per-node=2", "-m", "stages.train_unet"],
        cwd=project, capture_output=True, text=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert finished.returncode != 0 and "train.processes = 1, but torchrun started 2" in finished.stderr
    assert not (project / "checkpoints/unet.pt").exists()


def on_two_machines(project: Path, other: Path) -> list[tuple[int, str, str]]:
    """Run one training with a launcher in each folder; their statuses and what they printed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--nnodes=2", "--nproc-per-node=1", "--master-addr=127.0.0.1", f"--master-port={port}"]
    launchers = [
        subprocess.Popen(
            [*TORCHRUN, *options, f"--node-rank={rank}", "-m", "stages.train_unet"],
            cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank, folder in enumerate([project, other])
    ]  # fmt: skip
    try:
        said = [launcher.communicate(timeout=300) for launcher in launchers]
    finally:
        for launcher in launchers:
            launcher.kill()
    return [(launcher.returncode, *each) for launcher, each in zip(launchers, said, strict=True)]


def test_one_process_fails(project: Path) -> None:
    """An image in one process' share cannot be read: that process says so, and the other one ends as well."""
    prepare(project)
    set_params(project, train__processes=2)
    split = json.loads((project / artifacts.SPLIT).read_text())
    layout.image_path(project / artifacts.RAW, split["train"][5]).write_text("hello")
    finished = run_stage(project, "train_unet")
    assert finished.returncode in (1, 2)
    lines = finished.stderr.splitlines()
    assert len(lines) <= 2 and any("does not decode as an image" in line for line in lines)
    assert all(line.startswith("train_unet: error: ") for line in lines)


def test_more_processes_than_images_a_step(project: Path) -> None:
    set_params(project, train__processes=2, train__batch_size=1)
    finished = run_stage(project, "train_unet")
    assert finished.returncode == 2
    assert all("lower train.processes" in line for line in finished.stderr.splitlines())
    assert 1 <= len(finished.stderr.splitlines()) <= 2 and not (project / "checkpoints/unet.pt").exists()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_more_processes_than_gpus(project: Path) -> None:
    gpus = torch.cuda.device_count()
    set_params(project, train__processes=gpus + 1)
    finished = run_stage(project, "train_unet")
    assert finished.returncode == 2 and f"this machine has {gpus} GPUs" in finished.stderr
