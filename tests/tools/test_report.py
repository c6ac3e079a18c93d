"""The page about a run, opened in a real browser without a network."""

import io
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsers import needs_browser, opened
from commands import RunHere
from PIL import Image
from projects import copied


@pytest.fixture
def page(finished: Path, tmp_path: Path, run_here: RunHere) -> Path:
    project = copied(finished, tmp_path)
    ended = run_here(project, "tools.report")
    assert (ended.status, ended.stdout, ended.stderr) == (0, "report: report/index.html\n", "")
    return project / "report/index.html"


def test_it_is_one_small_file(page: Path) -> None:
    html = page.read_text()
    assert page.stat().st_size < 5_000_000
    assert list(page.parent.iterdir()) == [page]
    sources = re.findall(r"""(?:src|href)=["']?([^"' >]*)|url\(([^)]*)\)""", html)
    assert {"".join(source)[:5] for source in sources} == {"data:"}
    for said in ("mean Dice", "Checks", "true positive", "Boundary IoU", "git checkout", "make run", "torch"):
        assert said in html


@needs_browser
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_on_any_screen(browser: Any, page: Path, width: int, scheme: str) -> None:
    shown, complaints = opened(browser, page, width, color_scheme=scheme)
    assert complaints == []
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    shown.evaluate("document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
    shown.wait_for_function("[...document.images].every(image => image.complete)")
    assert shown.evaluate("[...document.images].every(image => image.naturalWidth > 256)")
    assert shown.evaluate("document.images.length") > 30
    charts = shown.evaluate(
        "[...document.querySelectorAll('figure svg')].map(svg => svg.querySelectorAll('path').length)"
    )
    assert len(charts) >= 8 and min(charts) > 5
    shown.evaluate("scrollTo(0, 0)")
    with Image.open(io.BytesIO(shown.screenshot())) as screenshot:
        grey = np.asarray(screenshot.convert("L"))
    paper = np.median(grey)
    assert (paper > 220) if scheme == "light" else (paper < 50)
    assert np.abs(grey.astype(int) - paper).max() > 150  # text stands out


@needs_browser
def test_images_can_be_sorted_and_filtered(browser: Any, page: Path) -> None:
    shown, complaints = opened(browser, page)

    def visible(what: str) -> list[Any]:
        return shown.evaluate(
            f"[...document.querySelectorAll('#gallery figure:not([hidden])')].map(f => f.dataset{what})"
        )

    def dice(column: str) -> list[float]:
        return [float(value) for value in visible(f"['{column}']")]

    everything = dice("lowest")
    assert everything == sorted(everything) and len(everything) > 30
    shown.select_option("#sort", "dice-1")
    shown.select_option("#order", "-1")
    assert dice("dice-1") == sorted(dice("dice-1"), reverse=True)
    shown.select_option("#group", index=1)
    group = shown.input_value("#group")
    groups = visible(".group")
    assert set(groups) == {group} and 0 < len(groups) < len(everything)
    assert shown.inner_text("#shown") == f"{len(groups)} of {len(everything)} images"
    shown.select_option("#group", "")
    shown.select_option("#network", "1")
    kinds = [failures.split("|")[1] for failures in visible(".failures")]
    kind = kinds[0]
    shown.select_option("#failure", kind)
    assert len(dice("lowest")) == kinds.count(kind)
    assert complaints == []


@needs_browser
def test_it_is_complete_without_scripts(browser: Any, page: Path) -> None:
    shown, complaints = opened(browser, page, java_script_enabled=False)
    assert complaints == []
    assert shown.locator("#gallery figure").count() > 30 and not shown.locator("#sort").is_visible()


def test_names_from_files_are_text(finished: Path, tmp_path: Path, run_here: RunHere) -> None:
    project = copied(finished, tmp_path)
    table = project / "metrics/per_image.csv"
    lines = table.read_text().splitlines()
    shown = next((project / "metrics/plots/gallery").iterdir()).stem
    evil = "<script>alert(1)<script>"
    table.unlink()
    table.write_text("\n".join(line.replace(f"{shown},", f"{evil},") for line in lines) + "\n")
    image = project / f"metrics/plots/gallery/{shown}.jpg"
    image.rename(image.with_name(f"{evil}.jpg"))
    assert run_here(project, "tools.report").status == 0
    html = (project / "report/index.html").read_text()
    assert evil not in html and "&lt;script&gt;alert(1)" in html


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (
            "metrics/test.json",
            "metrics/test.json: no such file; evaluate has not run to its end: `dvc repro` continues",
        ),
        ("metrics/details.json", "metrics/details.json: no such file; evaluate has not run to its end"),
        (
            "metrics/plots/gallery",
            "metrics/plots/gallery: no such images; evaluate has not run to its end: `dvc repro`",
        ),
        (
            "metrics/plots/train_unet.csv",
            "train_unet.csv: no such file; train_unet has not run to its end: `dvc repro` continues",
        ),
    ],
)
def test_a_report_without_results(
    finished: Path, tmp_path: Path, run_here: RunHere, what: str, said: str
) -> None:
    project = copied(finished, tmp_path)
    shutil.rmtree(project / what) if (project / what).is_dir() else (project / what).unlink()
    ended = run_here(project, "tools.report")
    assert ended.status == 2 and ended.stderr.startswith("report: error: ") and said in ended.stderr
    assert len(ended.stderr.splitlines()) == 1 and not (project / "report").exists()


@pytest.mark.parametrize(
    ("what", "content"),
    [
        ("metrics/details.json", "{}"),
        ("metrics/train_unet.json", '{"val_dice": 0.5}'),
        ("metrics/per_image.csv", "id,model\nsomething,else\n"),
        ("metrics/plots/threshold/unet.csv", "threshold,dice\n0.1,0.2\n"),
        ("metrics/plots/train_unet.csv", "epoch,val_dice\n1\n"),
    ],
)
def test_results_that_do_not_fit_together(
    finished: Path, tmp_path: Path, run_here: RunHere, what: str, content: str
) -> None:
    project = copied(finished, tmp_path)
    (project / what).unlink()
    (project / what).write_text(content)
    ended = run_here(project, "tools.report")
    assert ended.status == 2 and "damaged" in ended.stderr and len(ended.stderr.splitlines()) == 1
