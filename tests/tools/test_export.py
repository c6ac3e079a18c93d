"""`python -m tools.export`: the same masks from an ONNX file, or no file."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import RunHere
from content import digest
from PIL import Image
from projects import ROOT, copied

from segmentation.common.errors import Fault
from segmentation.common.files import write_bytes
from segmentation.export.check import compare, read_images
from segmentation.export.graph import ImagesToProbabilities, to_onnx
from segmentation.inference.predictor import Predictor
from segmentation.models.build import network_names
from segmentation.models.checkpoints import checkpoint_bytes, load_checkpoint
from segmentation.prediction.onnx_predictor import OnnxPredictor

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", network_names())
def test_both_networks(
    name: str, finished: Path, tmp_path: Path, run_here: RunHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The file computes in float32, torch in the format of the training where the processor has it.
    monkeypatch.setattr("segmentation.inference.predictor.available_precision", lambda *_: "float32")
    out = tmp_path / f"{name}.onnx"
    ended = run_here(finished, "tools.export", "--model", name, "--out", out)
    assert ended.status == 0 and ended.stderr == ""
    assert "within" in ended.stdout and "of mask pixels agree" in ended.stdout
    *_, last = ended.stdout.splitlines()
    assert last == f"python -m tools.predict --checkpoint {out} photo.jpg"
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8))
    photo.resize((123, 77), Image.Resampling.BICUBIC).save(tmp_path / "photo.jpg")
    kinds = ["--kind", "probability", "--tta", "flip"]
    command = [*last.split()[2:], *kinds]
    assert run_here(tmp_path, *command, "--out", "a").status == 0
    model = ["--checkpoint", str(finished / f"checkpoints/{name}.pt")]
    assert run_here(tmp_path, "tools.predict", "photo.jpg", *model, *kinds, "--out", "b").status == 0
    onnx, torches = (
        np.asarray(Image.open(tmp_path / f"{folder}/photo.probability.png")) / 65535 for folder in "ab"
    )
    assert onnx.shape == (77, 123)
    np.testing.assert_allclose(onnx, torches, atol=1e-4)


@pytest.mark.parametrize(("fit", "scale"), [("pad", 1.0), ("tiles", 0.8)])
def test_other_fits(
    fit: str,
    scale: float,
    finished: Path,
    tmp_path: Path,
    run_here: RunHere,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The file of a network says how it sees images; `tools.predict` does the same with both files."""
    monkeypatch.setattr("segmentation.inference.predictor.available_precision", lambda *_: "float32")
    project = copied(finished, tmp_path)
    checkpoint = project / "checkpoints/unet.pt"
    model, meta = load_checkpoint(checkpoint)
    geometry = {"fit": fit, "scale": scale, "fill": (90, 100, 110)}
    write_bytes(checkpoint, checkpoint_bytes(model.state_dict(), meta.model_copy(update=geometry)))
    ended = run_here(project, "tools.export", "--model", "unet")
    assert ended.status == 0 and ended.stderr == "" and "of mask pixels agree" in ended.stdout
    metadata = OnnxPredictor.load(project / "exports/unet.onnx").session.get_modelmeta().custom_metadata_map
    assert (metadata["fit"], metadata["scale"], metadata["size"]) == (fit, str(scale), "32")
    photo = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    Image.fromarray(photo).resize((123, 77), Image.Resampling.BICUBIC).save(project / "photo.png")
    for out, file in (("a", "exports/unet.onnx"), ("b", "checkpoints/unet.pt")):
        command = ["photo.png", "--checkpoint", file, "--kind", "probability", "--tta", "flip", "--out", out]
        assert run_here(project, "tools.predict", *command).status == 0
    onnx, torches = (
        np.asarray(Image.open(project / f"{folder}/photo.probability.png")) / 65535 for folder in "ab"
    )
    assert onnx.shape == (77, 123)
    assert np.abs(onnx - torches).mean() < 1e-3  # with flip, resized images are rounded


def test_any_size_any_number_and_its_metadata(finished: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(finished / "checkpoints/unet.pt")
    graph = ImagesToProbabilities(checkpoint)
    content = to_onnx(graph, {"threshold": "0.25"})
    assert str(ROOT).encode() not in content and str(Path.home()).encode() not in content
    predictor = OnnxPredictor.of_bytes(content, "x")
    assert predictor.threshold == 0.25
    rng = np.random.default_rng(0)
    for shape in ((1, 375, 500, 3), (3, 60, 40, 3), (2, 32, 32, 3), (1, 1, 1, 3), (1, 9, 700, 3)):
        images = rng.integers(0, 256, shape, dtype=np.uint8)
        (probabilities,) = predictor.session.run(None, {"images": images})
        with torch.inference_mode():
            expected = graph(torch.from_numpy(images)).numpy()
        assert probabilities.shape == shape[:3] and probabilities.dtype == np.float32
        np.testing.assert_allclose(probabilities, expected, atol=1e-4)


def test_the_metadata_names_the_checkpoint(finished: Path, tmp_path: Path, run_here: RunHere) -> None:
    project = copied(finished, tmp_path)
    assert run_here(project, "tools.export").status == 0  # the better network, into exports/
    (file,) = (project / "exports").iterdir()
    checkpoint = project / f"checkpoints/{file.stem}.pt"
    metadata = OnnxPredictor.load(file).session.get_modelmeta().custom_metadata_map
    assert metadata["model"] == file.stem
    assert float(metadata["threshold"]) == load_checkpoint(checkpoint).meta.threshold
    assert metadata["foreground"] == "pet,border"
    assert metadata["checkpoint_sha256"] == digest(checkpoint)
    status = subprocess.run(["git", "status", "--porcelain"], cwd=project, capture_output=True, text=True)
    assert status.stdout == ""


def test_another_network_is_not_taken_for_the_checkpoint(finished: Path) -> None:
    """The check must fail where it should: for weights that differ a little."""
    checkpoint = load_checkpoint(finished / "checkpoints/unet.pt")
    ids = json.loads((finished / "data/split.json").read_text())["val"]
    images = read_images(finished / "data/raw", ids)
    assert all(image.shape[0] != image.shape[1] for image in images)
    graph = ImagesToProbabilities(checkpoint)
    threshold = str(checkpoint.meta.threshold)
    exported = OnnxPredictor.of_bytes(to_onnx(graph, {"threshold": threshold}), "x")
    predictor = Predictor.from_checkpoint(checkpoint)
    good = compare(graph, predictor, exported, images)
    good.require()
    with torch.no_grad():
        next(checkpoint.model.parameters()).mul_(1.01)
    bad = compare(graph, predictor, exported, images)
    with pytest.raises(Fault, match="nothing was written"):
        bad.require()
    with pytest.raises(Fault, match="nothing was written"):
        good._replace(agreement=0.99).require()
    with pytest.raises(Fault, match="nothing was written"):
        good._replace(difference=float("nan")).require()


@pytest.mark.parametrize("package", ["onnxruntime", "onnxscript"])
def test_a_missing_package_is_named(
    package: str, finished: Path, tmp_path: Path, run_here: RunHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    ended = run_here(finished, "tools.export", "--out", tmp_path / "x.onnx")
    assert ended.status == 2 and f"needs {package}; `make setup`" in ended.stderr
    assert not (tmp_path / "x.onnx").exists()


def test_a_foreign_file_is_refused(finished: Path, tmp_path: Path, run_here: RunHere) -> None:
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    for content in (b"", b"nothing", bytes(1000)):
        (tmp_path / "x.onnx").write_bytes(content)
        ended = run_here(tmp_path, "tools.predict", "a.png", "--checkpoint", "x.onnx")
        assert ended.status == 2 and ended.stderr.startswith("predict: error: x.onnx: not a file that")
        assert ended.stderr.count("\n") == 1


def test_the_lines_of_the_documentation(finished: Path, tmp_path: Path, run_here: RunHere) -> None:
    """With onnxruntime alone: no torch, nothing of this repository."""
    (code,) = re.findall(
        r"```python\n(import numpy.*?onnxruntime.*?)```", (ROOT / "README.md").read_text(), re.S
    )
    assert len(code.strip().splitlines()) <= 10
    ended = run_here(finished, "tools.export", "--model", "unet", "--out", tmp_path / "exports/unet.onnx")
    assert ended.status == 0
    photo = np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(photo).resize((90, 60)).save(tmp_path / "photo.jpg")
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert run_here(tmp_path, "tools.predict", "photo.jpg", "--checkpoint", "exports/unet.onnx").status == 0
    np.testing.assert_array_equal(
        np.asarray(Image.open(tmp_path / "mask.png")),
        np.asarray(Image.open(tmp_path / "predictions/photo.png")),
    )
