"""The page, in a real browser."""

import io
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from browsers import choose, needs_browser
from photos import pixels, predictor, save, scene
from PIL import Image
from servers import Server, running, tiles

from segmentation.models.checkpoints import checkpoint_bytes, load_checkpoint

pytestmark = needs_browser
NETWORKS = ".view canvas[aria-label*=' by ']"  # what networks made of the photo


def areas(page: Any) -> list[float]:
    """The share of foreground in percent that the page says for each network."""
    texts = page.locator(".numbers", has_text="foreground").all_inner_texts()
    return [float(text.split(" %")[0]) for text in texts]


def mask_area(page: Any, number: int) -> float:
    """The share of white pixels in percent on a canvas that shows a mask."""
    counted = """canvas => {
        const {width, height} = canvas, often = {willReadFrequently: true};
        const copy = new OffscreenCanvas(width, height).getContext("2d", often);
        copy.drawImage(canvas, 0, 0);
        const {data} = copy.getImageData(0, 0, width, height);
        return 100 * data.filter((value, at) => at % 4 === 0 && value > 127).length / (data.length / 4);
    }"""
    return float(page.locator(NETWORKS).nth(number).evaluate(counted))


@pytest.mark.parametrize(
    "page", [{"width": w, "scheme": s} for w in (1280, 390) for s in ("light", "dark")], indirect=True
)
def test_a_dropped_photo_becomes_masks(page: Any, server: Server, finished: Path, tmp_path: Path) -> None:
    photo = save(tmp_path / "a photo.png", scene(120, 200))
    drop = """bytes => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(bytes)], "a photo.png", {type: "image/png"}));
        const dropped = new DragEvent("drop", {dataTransfer: transfer, bubbles: true});
        document.getElementById("drop").dispatchEvent(dropped);
    }"""
    page.evaluate(drop, list(photo.read_bytes()))
    page.get_by_text("a photo.png: 200 \N{MULTIPLICATION SIGN} 120 pixels").wait_for()
    page.get_by_role("button", name="Mask", exact=True).click()
    for number, model in enumerate(server.get("/models").json()):
        mask = predictor(finished, model["name"]).mask(scene(120, 200))
        assert areas(page)[number] == pytest.approx(100 * mask.mean(), abs=0.051)
        assert mask_area(page, number) == pytest.approx(100 * mask.mean(), abs=0.001)


def test_the_slider_and_the_download(page: Any, server: Server, finished: Path, tmp_path: Path) -> None:
    photo = save(tmp_path / "photo.jpg", scene(150, 100, seed=2), quality=90)
    choose(page, photo)
    page.get_by_role("button", name="Mask", exact=True).click()
    model, slider = server.get("/models").json()[0]["name"], page.get_by_role("slider").first
    (probabilities,) = predictor(finished, model).probabilities([pixels(photo)])
    threshold = round(float(np.median(probabilities)), 2)
    area = 100 * (probabilities >= threshold).mean()
    assert 1 < area < 99
    slider.focus()  # by keyboard
    while abs(difference := threshold - float(slider.input_value())) > 0.005:
        slider.press("ArrowRight" if difference > 0 else "ArrowLeft")
    page.wait_for_function(f"() => document.querySelector('.numbers').innerText.startsWith('{area:.1f} %')")
    assert mask_area(page, 0) == pytest.approx(area, abs=0.001)
    titles = {"mask": "mask", "cutout": "cut-out", "overlay": "overlay", "probability": "probabilities"}
    for kind, title in titles.items():
        with page.expect_download() as started:
            page.get_by_role("button", name=f"Download {title}").first.click()
        saved = tmp_path / "saved.png"
        started.value.save_as(saved)
        assert started.value.suggested_filename == f"photo.{model}{'' if kind == 'mask' else f'.{kind}'}.png"
        query = f"/predict?model={model}&kind={kind}&threshold={threshold}"
        assert saved.read_bytes() == server.post(query, photo.read_bytes()).content
        if kind == "mask":
            assert mask_area(page, 0) == pytest.approx(100 * (pixels(saved) == 255).mean(), abs=0.001)


def test_an_example_shows_what_is_wrong(page: Any) -> None:
    page.locator("#examples button").first.click()
    page.get_by_role("button", name="Errors").click()
    assert page.get_by_text("false negative").is_visible()
    assert page.locator(".numbers", has_text="Dice").count() == 2
    assert page.get_by_text("Where they disagree").is_visible()
    cutout = page.get_by_role("button", name="Cut-out", exact=True)
    cutout.press("Enter")
    assert page.get_by_role("button", name="Cut-out", exact=True).evaluate(
        "it => it === document.activeElement"
    )
    page.wait_for_function("() => document.querySelectorAll('canvas.checkerboard').length === 2")
    assert page.get_by_role("slider").count() == 0  # the threshold changes no cut-out
    page.get_by_role("button", name="Overlay", exact=True).click()
    assert page.get_by_role("slider").count() == 2


def test_a_large_photo_that_only_the_server_turns(
    page: Any, server: Server, finished: Path, tmp_path: Path
) -> None:
    """Browsers ignore the EXIF orientation of WebP. Every third pixel is drawn, all of them are counted."""
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = save(tmp_path / "turned.webp", scene(1401, 2500, seed=4), exif=exif, lossless=True)
    upright = np.rot90(scene(1401, 2500, seed=4), -1)
    choose(page, photo)
    assert page.get_by_text("turned.webp: 1401 \N{MULTIPLICATION SIGN} 2500 pixels").is_visible()
    page.get_by_role("button", name="Mask", exact=True).click()
    assert page.locator(NETWORKS).first.evaluate("it => [it.width, it.height]") == [467, 834]
    model = page.locator("figure h2").nth(1).inner_text()
    name = {"U-Net": "unet", "ResNet34-UNet": "resnet"}[model]
    mask = predictor(finished, name).mask(np.ascontiguousarray(upright))
    assert areas(page)[0] == pytest.approx(100 * mask.mean(), abs=0.051)
    assert mask_area(page, 0) == pytest.approx(100 * mask[::3, ::3].mean(), abs=0.001)
    preview = np.asarray(
        Image.open(io.BytesIO(server.post("/preview?side=1000", photo.read_bytes()).content))
    )
    assert np.abs(preview - upright[::3, ::3].astype(int)).mean() < 5


def test_what_cannot_be_read_is_said(page: Any, server: Server, tmp_path: Path) -> None:
    good = save(tmp_path / "good.png", scene(40, 40))
    choose(page, good)
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"nothing")
    page.set_input_files("#file", bad)
    page.get_by_text("bad.jpg: the image: does not decode as an image").wait_for()
    assert page.locator("#result").is_hidden()  # it is that of another photo
    choose(page, good)
    assert page.locator("#result").is_visible()


def test_the_progress_of_a_large_photo_and_its_end_with_the_page(
    browser: Any, finished: Path, tmp_path: Path
) -> None:
    checkpoint = tiles(finished, tmp_path / "tiles.pt")
    with running(finished, "--checkpoint", checkpoint) as server:
        context = browser.new_context()
        page = context.new_page()
        page.goto(server.url)
        page.locator("#examples img").first.wait_for()
        assert page.locator("#sample").is_visible()
        page.set_input_files("#file", save(tmp_path / "large.png", scene(4000, 4000)))
        page.get_by_text(re.compile(r"Predicting large.png: U-Net … \d+ %, about \d+ s left")).wait_for()
        assert page.locator("#bar").is_visible()
        page.get_by_role("button", name="Remove large.png").click()
        page.wait_for_timeout(1000)
        assert page.locator("#bar").is_hidden() and page.inner_text("#status") == ""
        page.set_input_files("#file", tmp_path / "large.png")
        page.get_by_text(re.compile(r"Predicting large.png: U-Net … \d+ %")).wait_for()
        context.close()
        time.sleep(2)
        process = psutil.Process(server.process.pid)
        before = sum(process.cpu_times()[:2])
        time.sleep(1)
        assert sum(process.cpu_times()[:2]) - before < 0.3  # seconds


def test_a_network_of_another_dataset(browser: Any, finished: Path, tmp_path: Path) -> None:
    """No test images of this dataset, nothing about drawn animals; and the page says what to do."""
    model, meta = load_checkpoint(finished / "checkpoints/unet.pt")
    other = tmp_path / "other.pt"
    other.write_bytes(checkpoint_bytes(model.state_dict(), meta.model_copy(update={"mean": [0.5, 0.4, 0.3]})))
    with running(finished, "--checkpoint", other) as server:
        assert server.get("/examples").json() == []
        context = browser.new_context()
        page = context.new_page()
        page.goto(server.url)
        page.get_by_text("U-Net, Dice").wait_for()
        page.wait_for_load_state("networkidle")
        assert page.locator("#examples").is_hidden() and page.locator("#sample").is_hidden()
        assert page.get_by_text("Bring photos").is_visible()
        assert server.get("/" + page.get_by_role("link").get_attribute("href")).json()["openapi"]
        assert server.get("/docs").status_code == 404
        context.close()
