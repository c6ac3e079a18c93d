"""Tables of parts of the test images, and which of them are shown."""

from typing import Any

import numpy as np
import pytest

from segmentation.evaluation.compare import break_down
from segmentation.evaluation.overlays import ranked
from segmentation.evaluation.prediction_scores import ImageFacts
from segmentation.evaluation.tables import notes


def facts(count: int, **changes: Any) -> ImageFacts:
    values = {name: np.zeros(count) for name in ImageFacts._fields}
    return ImageFacts(**(values | changes))


def test_groups_come_worst_first_with_their_own_means() -> None:
    dice = {"unet": np.array([0.9, 0.5, 0.7, 0.3, 1.0]), "resnet": np.array([0.1, 0.2, 0.3, 0.4, 0.5])}
    tables = break_down(dice, facts(5), {"group": ["a", "b", "a", "b", ""], "species": [""] * 5}, 500)
    assert list(tables) == ["group"]  # no species, and no thirds of equal values
    worst, best = tables["group"]
    assert (worst["label"], worst["images"], best["label"], best["images"]) == ("b", 2, "a", 2)
    assert worst["unet"]["dice"] == pytest.approx(0.4) and worst["resnet"]["dice"] == pytest.approx(0.3)
    assert worst["unet"]["low"] == pytest.approx(0.3) and worst["unet"]["high"] == pytest.approx(0.5)


def test_thirds_hold_the_images_that_their_names_say() -> None:
    share = np.array([0.001, 0.006, 0.002, 0.005, 0.003, 0.004])
    dice = {"unet": share * 100}
    (low, middle, high) = break_down(dice, facts(6, foreground_share=share), {}, 100)["foreground"]
    assert [row["images"] for row in (low, middle, high)] == [2, 2, 2]
    assert [row["unet"]["dice"] for row in (low, middle, high)] == pytest.approx([0.15, 0.35, 0.55])
    assert (low["label"], middle["label"], high["label"]) == ("to 0.0027", "0.0027 to 0.0043", "from 0.0043")


@pytest.mark.parametrize("values", [[0.5], [0.1, 0.9], [0.2] * 9, [0.1, 0.9] * 5])
def test_there_are_no_thirds_without_three_kinds_of_images(values: list[float]) -> None:
    shares = np.array(values)
    assert break_down({"unet": shares}, facts(len(values), brightness=shares), {}, 100) == {}


def test_the_worst_median_and_best_are_shown_and_none_twice() -> None:
    one = np.linspace(0, 1, 21)
    found = ranked({"one": one, "other": one[::-1]}, {"worst": 2, "median": 1, "best": 2})
    assert found == {"worst": [0, 1, 20, 19], "median": [10, 11], "best": [18, 17, 2, 3]}


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_few_images_are_shown_once(count: int) -> None:
    found = ranked({"one": np.zeros(count), "other": np.ones(count)}, {"worst": 15, "median": 10, "best": 5})
    assert sorted(index for chosen in found.values() for index in chosen) == list(range(count))
    assert found["worst"] == list(range(count))  # ties in the order of the images


def test_the_console_says_where_a_network_learned_nothing() -> None:
    gain = {"baseline": "all_foreground", "dice": -0.0002, "low": -0.01, "high": 0.02}
    details = {
        "resolution": "network", "thresholds": {"unet": 0.42, "resnet": 0.5}, "tta": "flip",
        "images": 6,
        "gain": {"unet": gain, "resnet": gain | {"low": 0.01}},
        "calibration_error": {"unet": 0.05, "resnet": 0.123},
    }  # fmt: skip
    said = notes(details)
    assert notes(details | {"images": 5})[1] == "fewer than 6 test images: the intervals mean nothing"
    scored = "scored at network size; threshold, chosen on validation images: unet 0.42, resnet 0.50; "
    assert said[0] == scored + "probabilities are the mean over an image and its mirror image"
    assert said[1] == (
        "warning: unet is no better than the answer 'all foreground': -0.0002 mean Dice, -0.0100 to +0.0200"
    )
    assert said[2].startswith("resnet: its probabilities are off by 0.123") and len(said) == 3
