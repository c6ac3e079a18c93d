"""What the server answers: the same as `tools.predict` writes."""

import hashlib
import io
import json
import re
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import pytest
import requests
from commands import RunHere
from photos import png, predictor, save, scene
from PIL import Image
from projects import ROOT
from servers import Server, running

from segmentation.common.dataset_layout import image_path, trimap_path
from segmentation.common.image_io import foreground_mask, read_image, read_trimap
from segmentation.prediction.kinds import KINDS
from segmentation.serving.limits import MAX_REQUESTS


def turned(path: Path) -> Path:
    """A JPEG that EXIF turns, with a colour profile."""
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = b"\0" * 16 + b"RGB " + b"\0" * 108
    return save(path, scene(70, 110, seed=3), exif=exif, quality=90, icc_profile=profile)


@pytest.mark.parametrize("name", ["unet", "resnet"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_what_predict_writes(
    name: str, kind: str, server: Server, finished: Path, tmp_path: Path, run_here: RunHere
) -> None:
    photo, out = turned(tmp_path / "photo.jpg"), tmp_path / "out"
    arguments = ["--model", name, "--kind", kind, "--threshold", "0.3", "--out", out]
    assert run_here(finished, "tools.predict", photo, *arguments).status == 0
    (written,) = out.iterdir()
    answer = server.post(f"/predict?model={name}&kind={kind}&threshold=0.3", photo.read_bytes())
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.content == written.read_bytes()


def test_the_default_is_the_mask_of_the_best_network(
    server: Server, finished: Path, tmp_path: Path, run_here: RunHere
) -> None:
    photo = save(tmp_path / "photo.png", scene(40, 60))
    assert run_here(finished, "tools.predict", photo, "--out", tmp_path / "out").status == 0
    written = (tmp_path / "out/photo.png").read_bytes()
    assert server.post("/predict", photo.read_bytes()).content == written
    with photo.open("rb") as file:
        assert server.post("/predict", files={"any name": ("../../photo.png", file)}).content == written


@pytest.mark.parametrize("size", [(1, 1), (33, 47), (300, 200)])
def test_probabilities_are_those_of_the_predictor(
    size: tuple[int, int], server: Server, finished: Path, tmp_path: Path
) -> None:
    photo = save(tmp_path / "photo.png", scene(*size))
    answer = server.post("/probabilities?model=resnet", photo.read_bytes())
    probabilities = np.frombuffer(answer.content, "<f4").reshape(
        int(answer.headers["x-height"]), int(answer.headers["x-width"])
    )
    (expected,) = predictor(finished, "resnet").probabilities([scene(*size)])
    np.testing.assert_array_equal(probabilities, expected)


def test_16_bits_need_their_white(server: Server) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.linspace(0, 4095, 50 * 40).reshape(40, 50).astype(np.uint16)).save(buffer, "PNG")
    refused = server.post("/predict", buffer.getvalue())
    assert refused.status_code == 422 and "more than 8 bits" in refused.json()["detail"]
    assert server.post("/predict?white=4095", buffer.getvalue()).status_code == 200


def test_what_a_client_may_know(server: Server, finished: Path) -> None:
    models = {model["name"]: model for model in server.get("/models").json()}
    for name in ("unet", "resnet"):
        file = finished / f"checkpoints/{name}.pt"
        trained = json.loads((finished / f"metrics/train_{name}.json").read_text())
        assert models[name] == {
            "name": name,
            "title": {"unet": "U-Net", "resnet": "ResNet34-UNet"}[name],
            "val_dice": trained["val_dice"],
            "threshold": trained["threshold"],
            "size": 32,
            "fit": "stretch",
            "foreground": ["pet", "border"],
            "sample": True,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
    best_first = sorted(models.values(), key=lambda model: -model["val_dice"])
    assert list(models.values()) == best_first
    assert server.get("/healthz").json() == {"status": "ok"}


def test_examples_are_test_images_and_their_masks(server: Server, finished: Path) -> None:
    ids, raw = server.get("/examples").json(), finished / "data/raw"
    test = json.loads((finished / "data/split.json").read_text())["test"]
    assert 0 < len(ids) <= 6 and set(ids) <= set(test)
    for number, image_id in enumerate(ids):
        image, mask, thumbnail = (
            np.asarray(Image.open(io.BytesIO(server.get(f"/examples/{number}/{part}").content)))
            for part in ("image", "mask", "thumbnail")
        )
        np.testing.assert_array_equal(image, read_image(image_path(raw, image_id)))
        target = foreground_mask(read_trimap(trimap_path(raw, image_id)), ["pet", "border"])
        np.testing.assert_array_equal(mask, 255 * target)
        assert max(thumbnail.shape) <= 160
    assert server.get(f"/examples/{len(ids)}/image").status_code == 404
    assert server.get("/examples/0/trimap").status_code == 422
    assert server.get("/examples/-1/image").status_code == 404


def test_a_shared_checkpoint_where_nothing_was_trained(
    server: Server, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "elsewhere.pt"
    shared.write_bytes((finished / "checkpoints/unet.pt").read_bytes())
    monkeypatch.setenv("PYTHONPATH", str(finished))
    image = image_path(finished / "data/raw", server.get("/examples").json()[0]).read_bytes()
    (tmp_path / "empty").mkdir()
    with running(tmp_path / "empty", "--checkpoint", shared) as other:
        assert [model["name"] for model in other.get("/models").json()] == ["elsewhere"]
        assert other.get("/examples").json() == []
        expected = server.post("/predict?model=unet", image).content
        assert other.post("/predict", image).content == expected


def test_form_fields_are_what_parameters_of_the_address_are(server: Server) -> None:
    photo, options = png(40, 60), {"model": "resnet", "kind": "cutout", "threshold": "0.9"}
    by_address = server.post("/predict", photo, params=options)
    by_form = server.post("/predict", options, files={"image": photo})
    assert by_form.status_code == 200 and by_form.content == by_address.content
    assert by_form.content != server.post("/predict", photo).content
    preview = server.post("/preview", {"side": 7}, files={"image": photo})
    assert preview.content == server.post("/preview?side=7", photo).content


def test_white_of_16_bits_in_colour_and_grey(server: Server) -> None:
    grey = np.linspace(0, 4095, 50 * 40).reshape(40, 50).astype(np.uint16)
    seen = np.rint(grey * (255 / 4095)).astype(np.uint8)
    encoded = [cv2.imencode(".png", image)[1].tobytes() for image in (np.stack([grey] * 3, -1), grey)]
    encoded.append(cv2.imencode(".png", np.stack([seen] * 3, -1))[1].tobytes())
    answers = [server.post("/probabilities?white=4095", image).content for image in encoded]
    assert answers[0] == answers[1] == answers[2] != server.post("/probabilities", encoded[0]).content


@pytest.mark.parametrize("path", ["/", "/page.js", "/healthz", "/models", "/examples", "/openapi.json"])
def test_head_says_what_get_says_without_its_body(path: str, server: Server) -> None:
    head, get = requests.head(server.url + path, timeout=60), server.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]
    assert requests.head(f"{server.url}/predict", timeout=60).status_code == 405


@pytest.mark.parametrize("stripped", [True, False])
def test_behind_a_proxy_under_a_prefix(finished: Path, stripped: bool) -> None:
    """A proxy leaves its prefix in the addresses or takes it off; the page asks for its parts beside it."""
    photo = png(20, 30)
    with running(finished, "--root-path", "/pre") as server:
        prefix = "" if stripped else "/pre"
        for path in ("/", "/page.js", "/models", "/healthz"):
            assert server.get(prefix + path).status_code == 200
        assert server.post(f"{prefix}/predict", photo).status_code == 200
        assert server.post("/preX/predict", photo).status_code == 404
        assert server.get(f"{prefix}/models/").status_code == 404
        assert server.get(f"{prefix}/openapi.json").json()["servers"] == [{"url": "/pre"}]
        host, port = server.url.removeprefix("http://").split(":")
        head = f"POST {prefix}/predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(photo)}\r\n\r\n"
        with ExitStack() as stack:  # the limits hold under a prefix too
            for _ in range(MAX_REQUESTS):
                client = stack.enter_context(socket.create_connection((host, int(port)), timeout=30))
                client.sendall(head.encode() + photo[:10])
            for _ in range(100):
                if server.post(f"{prefix}/predict", photo).status_code == 503:
                    break
                time.sleep(0.05)
            else:
                raise AssertionError("no limit")
    files = [*(ROOT / "segmentation/serving").glob("*.js"), ROOT / "segmentation/serving/page.html"]
    page = "".join(file.read_text() for file in files)
    assert not re.search(r"""(?:href|src)="/|(?:fetch|ask|import)[ (]+["'`]/""", page)
