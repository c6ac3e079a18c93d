"""The page about simulated runs: what it says follows from the numbers."""

import contextlib
import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from projects import ROOT

from segmentation.common.errors import InputError
from segmentation.experiments.analysis import seed_difference
from segmentation.experiments.charts import forest
from segmentation.experiments.comparisons import comparisons
from segmentation.experiments.page import markdown
from segmentation.experiments.plan import run_of, targets_differ
from segmentation.experiments.plan_file import read_plan
from segmentation.experiments.results import COLUMNS, RunScores, add, key_of, paths, read_results
from segmentation.report import page as report

PLAN = {
    "base": "lab_report",
    "budget": {"train.epochs": 3, "evaluate.resolution": "network"},
    "seeds": [0, 1, 2, 3, 4],
    "questions": [
        {"question": "Low?", "claim": "low", "arms": {"high": {"train.lr": 0.01}, "low": {}}},
        {
            "question": "Which network?",
            "claim": "resnet",
            "networks": ["unet", "resnet"],
            "arms": {"all": {}},
        },
        {"question": "Pets?", "arms": {"lab": {}, "pets": {"preset": "pets"}}},
    ],
}
ARMS: dict[str, dict[str, object]] = {"high": {"train.lr": 0.01}, "low": {}, "pets": {"preset": "pets"}}
IMAGES = [f"image_{i}" for i in range(300)]


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(ROOT)
    path = tmp_path / "simulated.yaml"
    path.write_text(yaml.safe_dump(PLAN))
    return path


def train(plan: Path, effects: Mapping[str, float], seeds: int = 5, code: str = "c0de") -> None:
    """Keep the results of simulated runs: every arm has its effect on U-Net; ResNet34-UNet has none."""
    rng = np.random.default_rng(1)
    image, kept = rng.uniform(0.7, 0.9, len(IMAGES)), read_results(plan)
    for seed in range(seeds):
        for arm, effect in effects.items():
            key = run_of(read_plan(plan), ARMS[arm], seed).key
            rows, per_image = [], []
            for network in ("unet", "resnet"):
                shift = effect + rng.normal(0, 0.002) if network == "unet" else 0.0
                dice = np.clip(image + shift + rng.normal(0, 0.02, len(IMAGES)), 0, 1)
                row = dict.fromkeys(COLUMNS, "") | {"run": key, "code": code, "seed": str(seed)}
                score = f"{dice.mean():.6f}"
                rows.append(
                    row | {"network": network, "dice": score, "dice_soft": score, "hardware": "a CPU"}
                )
                per_image += [
                    {"id": name, "model": network, "dice": str(value)}
                    for name, value in zip(IMAGES, dice, strict=True)
                ]
            kept = add(plan, kept, RunScores(rows, per_image))


def written(plan: Path) -> str:
    asked, kept = read_plan(plan), read_results(plan)
    return markdown(plan, asked, kept, comparisons(asked, kept))


def test_verdicts_follow_from_the_runs(plan: Path) -> None:
    train(plan, {"high": 0.0, "low": 0.03, "pets": 0.03})
    found = {
        (pair.question.question, pair.arm.network): pair
        for pair in comparisons(read_plan(plan), read_results(plan))
    }
    low = found["Low?", "unet"]
    assert low.difference.mean == pytest.approx(0.03, abs=0.004) and low.difference.verdict == "better"
    assert low.about_the_claim == "agrees" and low.label == "low minus high, U-Net"
    assert found["Low?", "resnet"].difference.verdict == "no difference shown"
    assert found["Low?", "resnet"].about_the_claim == "too small to matter"  # a narrow interval around 0
    network = found["Which network?", "resnet"]
    assert network.difference.verdict == "worse" and network.about_the_claim == "contradicts"
    assert found["Pets?", "unet"].about_the_claim == "-"  # the lab report says nothing about it


def test_the_page_and_the_chart(plan: Path) -> None:
    train(plan, {"high": 0.0, "low": 0.03})
    text = written(plan)
    assert "10 of 15 runs of all networks" in text and "3 questions make 3 comparisons" in text
    row = next(line for line in text.splitlines() if "low minus high, U-Net" in line)
    assert "**better**" in row and "| agrees |" in row
    missing = "Pets? (pets minus lab, U-Net); Pets? (pets minus lab, ResNet34-UNet)"
    assert f"Without two finished seeds of both arms yet: {missing}" in text
    drawn = forest(comparisons(read_plan(plan), read_results(plan)))["data"]["values"]
    assert len(drawn) == 3 and all(row["low"] <= row["mean"] <= row["high"] for row in drawn)


def test_a_network_that_is_not_trained_is_not_waited_for(plan: Path) -> None:
    train(plan, {"high": 0.0})
    assert "Low? (low minus high, ResNet34-UNet)" in written(plan)
    budget = PLAN["budget"] | {"networks.resnet": False}  # type: ignore[operator]
    plan.write_text(yaml.safe_dump(PLAN | {"budget": budget, "questions": PLAN["questions"][:1]}))  # type: ignore[index]
    assert "Low? (low minus high, U-Net)" in written(plan) and "ResNet34" not in written(plan)


def test_the_report_shows_it_too(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "EXPERIMENTS", plan.parent)
    assert report.experiments(IMAGES) == {}
    train(plan, {"high": 0.0, "low": 0.03})
    assert len(report.experiments(IMAGES[::-1])["simulated"]) == 3
    assert report.experiments(IMAGES[1:]) == {}  # the report is about other images


def test_what_is_kept_is_what_was_measured_to_a_thousandth(plan: Path) -> None:
    train(plan, {"low": 0.0}, seeds=2)
    kept = read_results(plan)
    for row in kept.rows:
        assert kept.dice[key_of(row)].mean() == pytest.approx(float(row["dice"]), abs=1e-4)
    assert kept.images == IMAGES


def test_rows_of_other_code_are_told_apart(plan: Path) -> None:
    train(plan, {"high": 0.0, "low": 0.1}, code="old")
    train(plan, {"high": 0.0, "low": 0.0}, code="new")
    pairs = comparisons(read_plan(plan), read_results(plan))
    assert abs(pairs[0].difference.mean) < 0.01
    assert "20 rows of other code are left out" in written(plan)


def test_one_seed_compares_nothing(plan: Path) -> None:
    train(plan, {"high": 0.0, "low": 0.1}, seeds=1)
    assert comparisons(read_plan(plan), read_results(plan)) == []


def test_forty_runs_of_the_official_test_set_stay_small(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.IMAGES", [f"Abyssinian_{i}" for i in range(3669)])
    train(plan, dict.fromkeys(ARMS, 0.0), seeds=2)
    six_runs = paths(plan)[1].stat().st_size
    assert six_runs / 6 * 40 < 500_000, six_runs


def test_other_true_masks_are_listed_without_a_verdict(plan: Path) -> None:
    asked: dict[str, Any] = {
        "question": "What is foreground?",
        "arms": {"all": {}, "pet": {"data.foreground": ["pet"]}},
    }
    plan.write_text(yaml.safe_dump(PLAN | {"questions": [asked]}))
    train(plan, {"low": 0.0}, seeds=1)  # as the arm `all`, it changes nothing
    text = written(plan)
    assert comparisons(read_plan(plan), read_results(plan)) == []
    assert "| What is foreground? | all | U-Net | 1 | 0." in text and "verdict follows" not in text
    assert "Without two finished seeds" not in text
    own = {"evaluate.resolution": "original"}
    for arms, differ in (
        # Spelled otherwise:
        ({"a": {}, "b": {"data.foreground": ["border", "pet"], "train.lr": 0.01}}, False),
        ({"a": {}, "b": {"image.size": 64}}, True),
        ({"a": own, "b": {"image.size": 64} | own}, False),  # scored at each image's own size
        ({"a": {}, "b": own}, True),
    ):
        asked["arms"] = arms
        plan.write_text(yaml.safe_dump(PLAN | {"questions": [asked]}))
        assert targets_differ(read_plan(plan), read_plan(plan).questions[0]) == differ, arms


def test_damaged_results_are_one_line(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.IMAGES", IMAGES[:20])
    train(plan, {"low": 0.0}, seeds=1)
    table, archive = paths(plan)
    good, scores = table.read_bytes(), archive.read_bytes()
    half = len(scores) // 2  # behind it, most of the archive's list of contents, which has no checksum
    for place in [*range(0, half, half // 20), *range(half, len(scores))]:
        flipped = bytearray(scores)
        flipped[place] ^= 255
        archive.write_bytes(flipped)
        with contextlib.suppress(InputError):  # a byte that decides nothing, or one line; no other error
            read_results(plan)
    for damaged in (b"", scores[:100]):
        archive.write_bytes(damaged)
        with pytest.raises(InputError, match=r"damaged, .*: git checkout .*csv .*npz"):
            read_results(plan)
    archive.write_bytes(scores)
    for text in (b"", good[:-30], good.replace(b",,0.", b",,x.")):
        table.write_bytes(text)
        with pytest.raises(InputError, match="damaged"):
            read_results(plan)
    table.unlink()
    assert read_results(plan).rows == []


def test_each_seed_may_test_its_own_share_of_the_images(plan: Path) -> None:
    plan.write_text(yaml.safe_dump(PLAN | {"split_by_seed": True}))
    asked, kept, gaps = read_plan(plan), read_results(plan), [0.03, 0.05, 0.04, 0.02, 0.06]
    for seed, gap in enumerate(gaps):
        run = run_of(asked, {}, seed)
        assert run.params["data.seed"] == run.params["train.seed"] == seed
        row = dict.fromkeys(COLUMNS, "") | {
            "run": run.key,
            "code": "c0de",
            "seed": str(seed),
            "dice_soft": "1",
        }
        rows = [row | {"network": network} for network in ("unet", "resnet")]
        tested = [f"image {number % 8}" for number in range(2 * seed, 2 * seed + 3)]
        per_image = [
            {"id": name, "model": network, "dice": str(dice)}
            for network, dice in (("unet", 0.9), ("resnet", 0.9 - gap))
            for name in tested
        ]
        kept = add(plan, kept, RunScores(rows, per_image), split_by_seed=True)
    assert kept.images == [f"image {number}" for number in range(8)]
    assert all(np.isfinite(values).sum() == 3 for values in kept.dice.values())
    (pair,) = [pair for pair in comparisons(asked, kept) if pair.question.question == "Which network?"]
    assert pair.difference.mean == pytest.approx(-np.mean(gaps))
    plain = seed_difference(-np.array(gaps))
    half, usual = pair.difference.high - pair.difference.mean, plain.high - plain.mean
    assert half / usual == pytest.approx(((1 / 5 + 3 / 5) / (1 / 5)) ** 0.5)  # tested: trained is 3 : 5
    assert "its own share of the images" in written(plan)


def test_other_test_images_are_refused(plan: Path) -> None:
    train(plan, {"low": 0.0}, seeds=1)
    kept = read_results(plan)
    with pytest.raises(InputError, match="other test images"):
        add(plan, kept, RunScores([], [{"id": "a", "model": "unet", "dice": "1"}]))
    assert len(list(csv.DictReader(paths(plan)[0].open()))) == 2
