"""Results in a bucket, on moto's S3 server: a clone has nowhere else to get them from."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from commands import RunHere, dvc
from moto.server import ThreadedMotoServer
from PIL import Image
from projects import copied, git

pytestmark = pytest.mark.slow


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The address of a server with an empty bucket."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    (tmp_path / "aws").touch()
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws"))
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        address = "http://{}:{}".format(*server.get_host_and_port())
        boto3.client("s3", endpoint_url=address).create_bucket(Bucket="results")
        yield address
    finally:
        server.stop()


def test_a_run_and_an_experiment_come_back_from_a_bucket(
    finished: Path, bucket: str, tmp_path: Path, run_here: RunHere
) -> None:
    project = copied(finished, tmp_path)
    dvc(project, "remote", "add", "-d", "storage", "s3://results/pipeline")
    dvc(project, "remote", "modify", "storage", "endpointurl", bucket)
    git(project, "commit", "-qam", "remote")
    dvc(project, "push")
    dvc(project, "exp", "run", "--temp", "--name", "more", "-S", "evaluate.bootstrap=200")
    git(tmp_path, "init", "-q", "--bare", "origin")
    git(project, "push", "-q", str(tmp_path / "origin"), "HEAD:refs/heads/main")
    dvc(project, "exp", "push", str(tmp_path / "origin"), "more")

    elsewhere = tmp_path / "elsewhere"
    git(tmp_path, "clone", "-q", "--branch", "main", str(tmp_path / "origin"), str(elsewhere))
    dvc(elsewhere, "pull")
    assert "up to date" in dvc(elsewhere, "status")
    assert (elsewhere / "checkpoints/unet.pt").read_bytes() == (finished / "checkpoints/unet.pt").read_bytes()
    Image.effect_noise((50, 40), 60).convert("RGB").save(elsewhere / "photo.png")
    assert run_here(elsewhere, "tools.predict", "photo.png").status == 0
    assert Image.open(elsewhere / "predictions/photo.png").size == (50, 40)

    dvc(elsewhere, "exp", "pull", "origin", "more")
    dvc(elsewhere, "exp", "apply", "more")
    assert "bootstrap: 200" in (elsewhere / "params.yaml").read_text()
    assert (elsewhere / "metrics/details.json").exists()
