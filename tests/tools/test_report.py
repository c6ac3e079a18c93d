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
from own_folder import own_folder
from PIL import Image
from projects import TINY, copied, set_params


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
    assert {"".join(source)[:5] for source in sources} == {"data:", "#imag"}
    for said in ("mean Dice", "Checks", "true positive", "Boundary IoU", "git checkout", "make run", "torch"):
        assert said in html
    images = re.findall(r"data:image/jpeg;base64,([^\"]*)", html)
    assert len(images) > 30 and len(set(images)) == len(images)  # none is there twice


def facts(html: str) -> dict[str, str]:
    """What the page says first: about the data, the settings and the state."""
    found = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", html, re.DOTALL)
    return {title: re.sub(r"<.*?>", "", text) for title, text in found}


def test_it_says_what_it_is_about(page: Path, run_here: RunHere) -> None:
    project, html = page.parents[1], page.read_text()
    first = facts(html)
    assert first["State"].startswith("recipe and results are those of commit ")
    assert first["Data"].startswith("sample images") and "100 test" in first["Images"]
    assert re.match(r"\d{4}-\d\d-\d\d \(newest file in data/raw\)", first["Date of the data"])
    settings = first["Settings"].removesuffix(" differ from presets/default.yaml").split(", ")
    assert set(settings) == {f"{key}={value}" for key, value in TINY.items() if key != "train.min_steps"}
    assert "Oxford" not in html and "Questions asked" not in html
    (project / "params.yaml").write_text((project / "presets/default.yaml").read_text())
    assert run_here(project, "tools.report").status == 0
    first = facts(page.read_text())
    assert first["Settings"] == "none differs from presets/default.yaml"
    assert first["State"].startswith("changed since commit ")
    own = own_folder(project / "my own")
    set_params(project, data__source="folder", data__folder__path=str(own))
    assert run_here(project, "tools.report").status == 0
    first = facts(page.read_text())
    assert first["Data"] == f"own images: {own}" and f" in {own})" in first["Date of the data"]
    shutil.rmtree(project / ".git")
    set_params(project, data__source="oxford-iiit-pet")
    assert run_here(project, "tools.report").status == 0
    html = page.read_text()
    assert facts(html)["State"] == "dvc.lock or params.yaml is in no commit" and "git checkout" not in html
    assert "Oxford-IIIT Pet: https://" in html and "the border in the masks is" in html


@needs_browser
@pytest.mark.parametrize("width", [1280, 390])
def test_an_image_opens_large(browser: Any, page: Path, width: int) -> None:
    """The image, the true mask, and what each network predicts and gets wrong; without a script, too."""
    shown, complaints = opened(browser, page, width, java_script_enabled=False)
    figure = shown.locator("#gallery > figure").nth(2)
    large = figure.locator("section")
    assert not large.is_visible()
    figure.locator("a").first.click()
    assert large.is_visible() and large.bounding_box() == {"x": 0, "y": 0, "width": width, "height": 900}
    titles = large.locator("figcaption").all_inner_texts()
    assert titles[:2] == ["image", "true mask"] and len(titles) == 6
    for drawing in large.locator("svg").all():
        box = drawing.bounding_box()
        assert box and min(480, 0.9 * width) <= box["width"] <= width
    with Image.open(io.BytesIO(large.locator("svg").first.screenshot())) as screenshot:
        assert np.asarray(screenshot.convert("L")).std() > 10  # not an empty frame
    large.locator("a").click()
    assert not large.is_visible() and complaints == []


@needs_browser
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_on_any_screen(browser: Any, page: Path, width: int, scheme: str) -> None:
    shown, complaints = opened(browser, page, width, color_scheme=scheme)
    assert complaints == []
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    scales = shown.evaluate("""Promise.all([...document.querySelectorAll('image')].map(async element => {
        const image = new Image();
        image.src = element.href.baseVal;
        await image.decode();
        return image.naturalWidth / element.width.baseVal.value;
    }))""")
    assert set(scales) == {1} and len(scales) > 30 * 6
    charts = shown.evaluate("""[...document.querySelectorAll('.charts svg')].map(svg =>
        [svg.querySelectorAll('path').length, svg.getBoundingClientRect().width / svg.viewBox.baseVal.width]
    )""")
    assert len(charts) >= 8 and min(paths for paths, _ in charts) > 5
    assert min(scale for _, scale in charts) > 0.75  # of text of 12 pixels
    shown.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    hidden = "[...document.querySelectorAll('.scroll')].map(table => table.scrollWidth - table.clientWidth)"
    assert set(shown.evaluate(hidden)) == {0}
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
            f"[...document.querySelectorAll('#gallery > figure:not([hidden])')].map(f => f.dataset{what})"
        )

    def dice(column: str) -> list[float]:
        return [float(value) for value in visible(f"['{column}']")]

    assert len(dice("lowest")) == 6 and shown.inner_text("#shown").startswith("6 of ")
    shown.select_option("#most", label="all")
    everything = dice("lowest")
    assert everything == sorted(everything) and len(everything) > 30
    shown.select_option("#sort", "dice-1")
    shown.select_option("#order", "-1")
    assert dice("dice-1") == sorted(dice("dice-1"), reverse=True)
    shown.select_option("#group", index=1)
    group = shown.input_value("#group")
    groups = visible(".group")
    assert set(groups) == {group} and 0 < len(groups) < len(everything)
    assert shown.inner_text("#shown") == f"{len(groups)} of {len(groups)} images"
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
    assert shown.locator("#gallery > figure").count() > 30 and not shown.locator("#sort").is_visible()


def test_names_from_files_are_text(finished: Path, tmp_path: Path, run_here: RunHere) -> None:
    project = copied(finished, tmp_path)
    table = project / "metrics/per_image.csv"
    lines = table.read_text().splitlines()
    shown = next((project / "metrics/plots/gallery").glob("*.jpg")).stem
    evil = "<script>alert(1)<script>"
    table.unlink()
    table.write_text("\n".join(line.replace(f"{shown},", f"{evil},") for line in lines) + "\n")
    for image in list((project / "metrics/plots/gallery").glob(f"{shown}.*")):
        image.rename(image.with_name(image.name.replace(shown, evil)))
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


def test_a_gallery_of_an_earlier_version(finished: Path, tmp_path: Path, run_here: RunHere) -> None:
    project = copied(finished, tmp_path)
    for path in (project / "metrics/plots/gallery").glob("*.png"):
        path.unlink()
    ended = run_here(project, "tools.report")
    assert ended.status == 2 and "run `dvc repro`" in ended.stderr and len(ended.stderr.splitlines()) == 1
