"""The page, in a real browser."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsers import needs_browser
from photos import pixels, predictor, save, scene
from PIL import Image
from servers import Server

pytestmark = needs_browser


@pytest.fixture
def page(browser: Any, server: Server, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page; in the end, the browser must have complained about nothing and asked no other host."""
    options = getattr(request, "param", {"width": 1280, "scheme": "light"})
    context = browser.new_context(
        viewport={"width": options["width"], "height": 900}, color_scheme=options["scheme"]
    )
    page, complaints = context.new_page(), []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda sent: complaints.extend(elsewhere(sent.url, server.url)))
    page.goto(server.url)
    page.wait_for_selector("#examples img")
    yield page
    assert [text for text in complaints if "status of 422" not in text] == []  # the browser says these itself
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()


def elsewhere(url: str, own: str) -> list[str]:
    return [] if url.startswith((own, "blob:" + own, "data:")) else [url]


def choose(page: Any, photo: Path) -> None:
    page.set_input_files("#file", photo)
    page.get_by_text(f"{photo.name}: ").wait_for()
    page.wait_for_selector("#panels figure")


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
    return float(page.locator("canvas.view").nth(number).evaluate(counted))


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
    for kind, name in (("mask", f"photo.{model}.png"), ("cutout", f"photo.{model}.cutout.png")):
        with page.expect_download() as started:
            page.get_by_role(
                "button", name={"mask": "Download mask", "cutout": "Download cut-out"}[kind]
            ).first.click()
        saved = tmp_path / "saved.png"
        started.value.save_as(saved)
        assert started.value.suggested_filename == name
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
    loaded = "() => [...document.querySelectorAll('img.view')].filter(it => it.naturalWidth > 0).length === 2"
    page.wait_for_function(loaded)


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
    assert page.locator("canvas.view").first.evaluate("it => [it.width, it.height]") == [467, 834]
    model = page.get_by_role("heading", level=2).first.inner_text()
    name = {"U-Net": "unet", "ResNet34-UNet": "resnet"}[model]
    mask = predictor(finished, name).mask(np.ascontiguousarray(upright))
    assert areas(page)[0] == pytest.approx(100 * mask.mean(), abs=0.051)
    assert mask_area(page, 0) == pytest.approx(100 * mask[::3, ::3].mean(), abs=0.001)
    preview = np.asarray(
        Image.open(io.BytesIO(server.post("/preview?side=1000", photo.read_bytes()).content))
    )
    assert np.abs(preview - upright[::3, ::3].astype(int)).mean() < 5


def test_a_download_belongs_to_its_photo(page: Any, server: Server, tmp_path: Path) -> None:
    first, second = (save(tmp_path / f"{k}.png", scene(60, 80, seed=k)) for k in range(2))
    choose(page, first)
    model = server.get("/models").json()[0]
    with page.expect_download() as started:
        page.get_by_text("Download mask").first.click()
        page.set_input_files("#file", second)
    assert started.value.suggested_filename == f"0.{model['name']}.png"
    started.value.save_as(tmp_path / "saved.png")
    query = f"/predict?model={model['name']}&threshold={model['threshold']}"
    assert (tmp_path / "saved.png").read_bytes() == server.post(query, first.read_bytes()).content


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
