import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from projects import git

from segmentation.common.artifacts import Split
from segmentation.report.checks import checks
from segmentation.report.outputs import RunOutputs, commit, matches_commit
from segmentation.report.page import headline, newest


def outputs(difference: tuple[float, float, float] = (-0.03, -0.04, -0.02), **changes: Any) -> RunOutputs:
    gain = {"baseline": "mean_mask", "dice": 0.3, "low": 0.2, "high": 0.4}
    details = {
        "gain": {"unet": gain, "resnet": gain}, "calibration_error": {"unet": 0.01, "resnet": 0.02},
        "network": {"unet": {"dice": 0.91}, "resnet": {"dice": 0.88}}, "images": 50, "twins": 0,
    }  # fmt: skip
    gap = dict(zip(("dice", "low", "high"), difference, strict=True))
    curve = [{"val_dice": str(dice)} for dice in (0.5, 0.7, 0.8, 0.88, 0.89, 0.9, 0.9, 0.901, 0.9, 0.902)]
    return RunOutputs(
        names=["unet", "resnet"],
        test={"unet": {"dice": 0.9}, "resnet": {"dice": 0.9 + difference[0]}, "difference": {"resnet": gap}},
        details=details | changes.pop("details", {}), images=[], curves={"unet": curve, "resnet": curve},
        training={name: {"val_dice_threshold": 0.9} for name in ("unet", "resnet")},
        thresholds={}, reliability={},
        split=Split(train=[], val=[], test=[], dropped=[], twins=[], sha256=""), gallery={},
    )._replace(**changes)  # fmt: skip


def failed(run: RunOutputs) -> list[str]:
    return [check.title for check in checks(run) if not check.passed]


def test_nothing_is_wrong_with_a_good_run() -> None:
    assert failed(outputs()) == [] and len(checks(outputs())) == 11


LOST = {"baseline": "all_foreground", "dice": 0.001, "low": -0.01, "high": 0.02}
WON = {"baseline": "mean_mask", "dice": 0.3, "low": 0.2, "high": 0.4}
RISING, LEVEL = [{"val_dice": str(i / 10)} for i in range(10)], [{"val_dice": "0.9"}] * 9
DROPPED = Split(train=[], val=[], test=[], twins=[], sha256="", dropped=[{"id": "a", "reason": "b"}])
FAULTS: dict[str, dict[str, Any]] = {
    "U-Net is better than": {"details": {"gain": {"unet": LOST, "resnet": WON}}},
    "ResNet34-UNet is calibrated": {"details": {"calibration_error": {"unet": 0.01, "resnet": 0.2}}},
    "no test image has a near-duplicate": {"details": {"twins": 3}},
    "there are enough test images": {"details": {"images": 20}},
    "validation and test agree on U-Net": {
        "details": {"network": {"unet": {"dice": 0.8}, "resnet": {"dice": 0.88}}}
    },
    "the training of U-Net has levelled off": {"curves": {"unet": RISING, "resnet": LEVEL}},
    "nothing was dropped": {"split": DROPPED},
}


@pytest.mark.parametrize("title", FAULTS)
def test_each_check_can_fail(title: str) -> None:
    (check,) = failed(outputs(**FAULTS[title]))
    assert check.startswith(title)


def test_another_run_than_the_committed_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert matches_commit() is None
    subprocess.run(["git", "init", "-q"], check=True)
    Path("dvc.lock").write_text("one")
    Path("params.yaml").write_text("one")
    assert matches_commit() is None
    git(tmp_path, "add", "dvc.lock", "params.yaml")
    git(tmp_path, "commit", "-qm", "run")
    assert matches_commit() is True
    for name in ("params.yaml", "dvc.lock"):
        Path(name).write_text("two")
        assert matches_commit() is False
        Path(name).write_text("one")
    Path("dvc.lock").write_text("two")
    assert re.fullmatch(r"[0-9a-f]{40}    # with uncommitted changes", commit())


def test_two_images_pass_no_check_of_an_interval() -> None:
    gains = [check for check in checks(outputs(details={"images": 2})) if "trivial answer" in check.title]
    assert [check.passed for check in gains] == [None, None]


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (
            (-0.03, -0.04, -0.02),
            "U-Net beats ResNet34-UNet by 0.030 mean Dice (95 % interval 0.020 to 0.040)",
        ),
        ((0.03, 0.02, 0.04), "ResNet34-UNet beats U-Net by 0.030 mean Dice (95 % interval 0.020 to 0.040)"),
        (
            (0.01, -0.01, 0.03),
            "No clear winner between ResNet34-UNet and U-Net: the difference in mean Dice is 0.010,"
            " with a 95 % interval from -0.010 to 0.030",
        ),
    ],
)
def test_the_headline_says_who_wins_and_how_sure_that_is(
    difference: tuple[float, float, float], said: str
) -> None:
    assert headline(outputs(difference)).removesuffix(".") == said


def test_the_headline_says_what_the_table_says_of_few_images() -> None:
    """A table shows intervals from 6 images on: the headline goes by them from there on."""
    few = headline(outputs((-0.03, -0.04, -0.02), details={"images": 6}))
    assert few.startswith("U-Net beats ResNet34-UNet by 0.030") and few.endswith("on only 6 test images.")
    two = headline(outputs((-0.03, -0.04, -0.02), details={"images": 5}))
    assert two.startswith("U-Net reaches a mean Dice of 0.900") and "5 test images are too few" in two
    assert "interval" not in two and "only" not in headline(outputs())


def test_the_date_of_the_data(tmp_path: Path) -> None:
    assert newest(tmp_path / "nowhere") == newest(tmp_path) == "unknown"
    for name, time in (("old", 86_400), ("new", 10 * 86_400 + 43_200), ("older", 0)):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / name).touch()
        os.utime(tmp_path / "images" / name, (time, time))
    os.utime(tmp_path / "images", (0, 0))
    assert newest(tmp_path) == "1970-01-11"
