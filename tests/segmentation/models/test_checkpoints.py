import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commands import RunHere
from content import flipped
from hostile import Hostile
from torch import Tensor, nn

from segmentation.common.errors import InputError
from segmentation.models.build import build_model, network_names
from segmentation.models.checkpoints import VERSION, Metadata, checkpoint_bytes, load_checkpoint


def save_checkpoint(path: Path, model: nn.Module, meta: Metadata) -> None:
    path.write_bytes(checkpoint_bytes(model.state_dict(), meta))


def meta(name: str, width: int = 4) -> Metadata:
    return Metadata(
        model=name, width=width, size=64, mean=[0.5, 0.4, 0.3], std=[0.2, 0.2, 0.2], threshold=0.5,
        foreground=["pet", "border"], epoch=3, device="cpu", processes=1,
        precision="bf16", params={"train": {"lr": 1e-4}}, val_dice=0.75,
    )  # fmt: skip


@pytest.mark.parametrize("name", network_names())
def test_round_trip(tmp_path: Path, name: str) -> None:
    model = build_model(name, 4).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    save_checkpoint(tmp_path / "a.pt", model, meta(name))
    loaded, found = load_checkpoint(tmp_path / "a.pt")
    images = torch.randn(1, 3, 64, 64)
    assert found == meta(name) and not loaded.training
    with torch.inference_mode():
        torch.testing.assert_close(loaded(images), model(images), rtol=1e-4, atol=1e-4)  # another layout
    for key, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], tensor)


def test_the_bytes_depend_on_the_content_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build_model("unet", 4)
    save_checkpoint(tmp_path / "a.pt", model, meta("unet"))
    save_checkpoint(tmp_path / "another name.pt", model.to(memory_format=torch.channels_last), meta("unet"))  # type: ignore[call-overload]
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "another name.pt").read_bytes()


def test_plain_tensors_without_their_base(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.pt", build_model("unet", 4), meta("unet"))
    content = torch.load(tmp_path / "a.pt", weights_only=True)
    numbers = sum(tensor.numel() * tensor.element_size() for tensor in content["weights"].values())
    assert (tmp_path / "a.pt").stat().st_size < 1.2 * numbers + 50_000


def test_a_training_that_has_not_ended_is_named_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, path = build_model("unet", 4), tmp_path / "a.pt"
    save_checkpoint(path, model, meta("unet"))
    ended = torch.load(path, weights_only=True)
    path.write_bytes(checkpoint_bytes(model.state_dict(), meta("unet"), so_far=(3, 10)))
    so_far = torch.load(path, weights_only=True)
    assert (
        set(so_far) - set(ended) == {"so_far"} and so_far["meta"] == ended["meta"]
    )  # as older versions read it
    for _ in range(2):
        assert load_checkpoint(path)[1] == meta("unet")
    line = f"warning: {path}: of a training that has not ended (epoch 3 of 10)\n"
    assert capsys.readouterr() == ("", line)
    rewritten(path, so_far="3 of 10")
    with pytest.raises(InputError, match="not a checkpoint of this program"):
        load_checkpoint(path)


def rewritten(path: Path, **changes: object) -> None:
    torch.save(torch.load(path, weights_only=True) | changes, path)


def claim(path: Path, **changes: object) -> None:
    """Let a checkpoint say something else of itself."""
    content = torch.load(path, weights_only=True)
    rewritten(path, meta=json.dumps(json.loads(content["meta"]) | changes))


def compressed(path: Path) -> None:
    """The same parts, compressed: a small file that could unpack to anything."""
    with zipfile.ZipFile(path) as old:
        parts = {part.filename: old.read(part) for part in old.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, data in parts.items():
            new.writestr(name, data)


def with_weights(path: Path, change: Callable[[Tensor], Tensor]) -> None:
    weights = torch.load(path, weights_only=True)["weights"]
    name = next(iter(weights))
    rewritten(path, weights=weights | {name: change(weights[name])})


SPOILED: dict[str, Callable[[Path, Path], object]] = {
    "missing": lambda path, proof: path.unlink(),
    "empty": lambda path, proof: path.write_bytes(b""),
    "text": lambda path, proof: path.write_text("hello"),
    "cut": lambda path, proof: path.write_bytes(path.read_bytes()[:-1000]),
    "half": lambda path, proof: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "a wrong bit": lambda path, proof: path.write_bytes(flipped(path.read_bytes())),
    "compressed": lambda path, proof: compressed(path),
    "other model": lambda path, proof: claim(path, model="resnet"),
    "no model": lambda path, proof: claim(path, model="vgg"),
    "other width": lambda path, proof: claim(path, width=8),
    "huge width": lambda path, proof: claim(path, width=10**9),
    "largest width": lambda path, proof: claim(path, width=512),  # of 130 GB
    "huge size": lambda path, proof: claim(path, size=10**9),
    "words for numbers": lambda path, proof: claim(path, mean=["a", "b", "c"]),
    "more keys": lambda path, proof: claim(path, more=1),
    "meta is no text": lambda path, proof: rewritten(path, meta=5),
    "deep": lambda path, proof: rewritten(path, meta="[" * 100_000),
    "no weights": lambda path, proof: rewritten(path, weights={}),
    "weights are a list": lambda path, proof: rewritten(path, weights=[1, 2]),
    "other numbers": lambda path, proof: with_weights(path, lambda tensor: tensor.double()),
    "other file": lambda path, proof: torch.save({"state_dict": {}}, path),
    "a list": lambda path, proof: torch.save([1, 2], path),
    "a whole module": lambda path, proof: torch.save(build_model("unet", 4), path),
    "pickle": lambda path, proof: path.write_bytes(pickle.dumps(Hostile(proof))),
    "hostile": lambda path, proof: torch.save(Hostile(proof), path),
    "hostile inside": lambda path, proof: rewritten(path, meta=Hostile(proof)),
}


@pytest.mark.fault("a checkpoint that is cut, damaged, of another network, or hostile")
@pytest.mark.parametrize("how", SPOILED)
def test_a_bad_checkpoint_gives_one_line(tmp_path: Path, how: str) -> None:
    path, proof = tmp_path / "a.pt", tmp_path / "proof"
    save_checkpoint(path, build_model("unet", 4), meta("unet"))
    SPOILED[how](path, proof)
    with pytest.raises(InputError, match=r"a\.pt: (no such|not a) checkpoint") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value) and not proof.exists()


@pytest.mark.fault("a checkpoint that is cut, damaged, of another network, or hostile")
def test_a_newer_version_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    save_checkpoint(path, build_model("unet", 4), meta("unet"))
    rewritten(path, version=VERSION + 1, meta="something new")
    newer = rf"newer version of this program \(format {VERSION + 1}; this version reads up to {VERSION}\)"
    with pytest.raises(InputError, match=newer):
        load_checkpoint(path)


@pytest.mark.fault("a checkpoint that is cut, damaged, of another network, or hostile")
def test_a_hostile_checkpoint_stops_the_stage(project: Path, tmp_path: Path, run_here: RunHere) -> None:
    (project / "checkpoints").mkdir(exist_ok=True)
    torch.save(Hostile(tmp_path / "proof"), project / "checkpoints/unet.pt")
    status, _, stderr = run_here(project, "stages.evaluate")
    assert status == 2 and not (tmp_path / "proof").exists()
    assert stderr.startswith("evaluate: error: checkpoints/unet.pt: not a checkpoint of this program")
    assert len(stderr.splitlines()) == 1
