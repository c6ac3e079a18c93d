import functools
from pathlib import Path
from typing import Any

import pytest
import yaml

from segmentation.common.errors import InputError
from segmentation.params import load_params

ROOT = Path(__file__).parents[2]
DEFAULTS = yaml.safe_load((ROOT / "params.yaml").read_text())


def leaves(values: dict[str, Any], prefix: str = "") -> set[str]:
    found = set()
    for key, value in values.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key}
    return found


def written(path: Path, key: str, text: str) -> Path:
    """A params file in which the value of a leaf reads `text`, as a person or DVC would write it."""
    file = path / "params.yaml"
    file.write_text(template(key).replace("PLACE", text))
    return file


@functools.cache
def template(key: str) -> str:
    """The default params in which the value of a leaf reads PLACE."""
    *groups, leaf = key.split(".")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    group = params
    for name in groups:
        group = group[name]
    group[leaf] = "PLACE"
    return yaml.safe_dump(params)


@pytest.mark.parametrize(
    "path", [ROOT / "params.yaml", *(ROOT / "presets").glob("*.yaml")], ids=lambda p: p.name
)
def test_every_preset_is_valid_and_complete(path: Path) -> None:
    load_params(path)
    assert leaves(yaml.safe_load(path.read_text())) == leaves(DEFAULTS)


def test_every_leaf_is_commented() -> None:
    for path in (ROOT / "params.yaml", ROOT / "presets/lab_report.yaml"):
        bare = [
            line
            for line in path.read_text().splitlines()
            if ": " in line and not line.lstrip().startswith("#") and " # " not in line
        ]
        assert all("_url:" in line or "_md5:" in line for line in bare), bare


def test_the_lab_report_preset_is_the_lab_report() -> None:
    params = load_params(ROOT / "presets/lab_report.yaml")
    assert params.data.source == "oxford-iiit-pet"
    assert params.data.foreground == ["pet", "border"]
    assert params.data.val_fraction == 0.1 and params.data.limit is None
    stretched = {"size": 512, "fit": "stretch", "scale": 1.0, "resize": "linear"}
    assert params.image.model_dump() == stretched | {"normalize": "lab_report"}
    assert params.model.model_dump() == {"width": 64, "dropout": 0.1, "init": "he"}
    assert params.augment.model_dump() == {
        "affine": 0.5,
        "scale": [0.8, 1.2],
        "shear": 0.0,
        "border": "black",
        "flip": 0.0,
        "color": 0.0,
    }
    assert params.networks.model_dump() == {"unet": True, "resnet": True}
    assert params.train.model_dump(exclude={"seed"}) == {
        "lr": 1e-4,
        "epochs": 20,
        "min_steps": 0,
        "batch_size": 8,
        "weight_decay": 2e-4,
        "optimizer": "adam",
        "schedule": "constant",
        "warmup": 0.0,
        "loss": "double_sigmoid",
        "small_first": 0.0,
        "processes": 1,
        "precision": "float32",
        "monitor": "dice_soft",
        "start_from": None,
        "start_sha256": None,
    }


@pytest.mark.parametrize("text", ["0.0001", "1e-4", "1e-04", "1.0e-4", "1E-4", ".0001", "'1e-4'", "+1e-4"])
def test_numbers_in_every_spelling(tmp_path: Path, text: str) -> None:
    assert load_params(written(tmp_path, "train.lr", text)).train.lr == 1e-4


@pytest.mark.parametrize("text", ["20", "20.0", "2e1"])
def test_whole_numbers_in_every_spelling(tmp_path: Path, text: str) -> None:
    epochs = load_params(written(tmp_path, "train.epochs", text)).train.epochs
    assert epochs == 20 and isinstance(epochs, int)


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("train.lr", "fast", r"train\.lr = 'fast': must be a valid number"),
        ("train.lr", "0", r"train\.lr = 0: must be greater than 0"),
        ("train.lr", "true", r"train\.lr = True"),
        ("train.lr", ".nan", r"train\.lr = nan: must be a finite number"),
        ("train.lr", "[1]", r"train\.lr = \[1\]"),
        ("train.lr", "null", r"train\.lr = None"),
        ("train.epochs", "2.5", r"train\.epochs = 2\.5"),
        ("train.epochs", "yes", r"train\.epochs = True"),
        ("train.loss", "dice", r"train\.loss = 'dice': must be 'bce_dice' or 'double_sigmoid'"),
        ("data.limit", "0", r"data\.limit = 0: must be greater than or equal to 1"),
        ("data.source", "web", r"data\.source = 'web': must be 'sample', 'oxford-iiit-pet' or 'folder'"),
        ("data.foreground", "[]", r"data\.foreground = \[\]"),
        ("data.folder.classes", "[1, '1']", r"data\.folder\.classes = \[1, '1'\]: must name each one once"),
        ("data.folder.classes", "['']", r"data\.folder\.classes = \[''\]: must name .* none that is empty"),
        ("data.foreground", "[cat]", r"data\.foreground\.0 = 'cat': must be 'pet', 'background' or 'border'"),
        ("data.foreground", "[pet, pet]", r"data\.foreground = .*once"),
        ("augment.scale", "[1.2, 0.8]", r"augment\.scale = \[1\.2, 0\.8\]: min must be ≤ max"),
        ("data.foreground", "pet", r"data\.foreground = 'pet'"),
        ("image.size", "16", r"image\.size = 16: must be greater than or equal to 32"),
        ("model.dropout", "1", r"model\.dropout = 1"),
        ("networks", "{unet: false, resnet: false}", r"networks\.resnet = False: must be true where"),
        ("train", "5", r"train = 5: must be a valid dictionary"),
        ("train", "null", r"train = None: must be a valid dictionary"),
    ],
)  # fmt: skip
def test_a_bad_value_is_named(tmp_path: Path, key: str, text: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected) as caught:
        load_params(written(tmp_path, key, text))
    assert "\n" not in str(caught.value)


def test_unknown_and_missing_keys_are_named(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["train"]["epoch"] = params["train"].pop("epochs")
    params["Train"] = {}
    file.write_text(yaml.safe_dump(params))
    with pytest.raises(InputError) as caught:
        load_params(file)
    message = str(caught.value)
    assert "train.epochs is missing" in message
    assert "train.epoch is not a known key (did you mean epochs?)" in message
    assert "Train is not a known key (did you mean train?)" in message


@pytest.mark.parametrize(
    "text", ["", "3", "[a]", "a: [1", "\t", "a: !!python/object:x.Y {}", "\0", "a: 1\na"]
)
def test_a_file_that_is_no_params_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(InputError, match=r"params\.yaml"):
        load_params(tmp_path / "params.yaml")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_params(tmp_path / "params.yaml")
