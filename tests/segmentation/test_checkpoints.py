import os
import pickle
from pathlib import Path

import pytest
import torch

from stages.segmentation.checkpoints import Meta, load_checkpoint, save_checkpoint
from stages.segmentation.errors import InputError
from stages.segmentation.models import NAMES, build_model


def meta(name: str, width: int = 4) -> Meta:
    return Meta(
        model=name, width=width, size=64, mean=[0.5, 0.4, 0.3], std=[0.2, 0.2, 0.2], threshold=0.5,
        foreground=["pet", "border"], epoch=3, device="cpu", processes=1,
        precision="bf16", params={"train": {"lr": 1e-4}},
    )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_round_trip(tmp_path: Path, name: str) -> None:
    model = build_model(name, 4).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    save_checkpoint(tmp_path / "a.pt", model, meta(name))
    loaded, found = load_checkpoint(tmp_path / "a.pt")
    images = torch.randn(1, 3, 64, 64)
    assert found == meta(name) and not loaded.training
    with torch.inference_mode():
        torch.testing.assert_close(loaded(images), model(images))


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


class Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    "how", ["missing", "text", "cut", "other model", "other width", "other file", "pickle", "hostile"]
)
def test_what_is_no_checkpoint_gives_one_line(tmp_path: Path, how: str) -> None:
    path, proof = tmp_path / "a.pt", tmp_path / "proof"
    good = meta("unet")
    if how != "missing":
        save_checkpoint(path, build_model("unet", 4), good)
    if how == "text":
        path.write_text("hello")
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-1000])
    elif how == "other model":
        save_checkpoint(path, build_model("unet", 4), meta("resnet"))
    elif how == "other width":
        save_checkpoint(path, build_model("unet", 4), meta("unet", width=8))
    elif how == "other file":
        torch.save({"state_dict": {}}, path)
    elif how == "pickle":
        path.write_bytes(pickle.dumps(Hostile(proof)))
    elif how == "hostile":
        torch.save(Hostile(proof), path)
    with pytest.raises(InputError, match=r"a\.pt: (no such|not a) checkpoint") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value) and not proof.exists()
