"""The page, in a real browser."""

import io
import re
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from browsers import needs_browser
from photos import pixels, predictor, save, scene
from PIL import Image
from servers import Server, running, tiles

from segmentation.models.checkpoints import checkpoint_bytes, load_checkpoint

pytestmark = needs_browser
NETWORKS = ".view canvas[aria-label*=' by ']"  # what networks made of the photo


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


def choose(page: Any, *photos: Path) -> None:
    """Bring photos; the first one is shown."""
    page.set_input_files("#file", photos)
    page.get_by_text(f"{photos[0].name}: ").wait_for()
    page.wait_for_selector("#panels figure")
    page.wait_for_function("() => !document.body.innerText.match(/waiting|in work/)")


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


def test_a_download_belongs_to_its_photo(page: Any, server: Server, tmp_path: Path) -> None:
    first, second = (save(tmp_path / f"{k}.png", scene(60, 80, seed=k)) for k in range(2))
    choose(page, first)
    model = server.get("/models").json()[0]
    with page.expect_download() as started:
        page.get_by_role("button", name="Download mask").first.click()
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


def test_many_photos_and_their_zip(page: Any, server: Server, tmp_path: Path) -> None:
    """One that cannot be read is named in the list, and is not in the ZIP; equal names stay apart."""
    photos = [save(tmp_path / f"{k}/photo.png", scene(60 + k, 80, seed=k)) for k in range(3)]
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"nothing")
    choose(page, *photos, bad)
    assert page.locator("#photos li").count() == 4
    assert page.locator("#photos li", has_text="does not decode").count() == 1
    page.locator("#photos .open").nth(2).click()
    page.get_by_text("photo.png: 80 \N{MULTIPLICATION SIGN} 62 pixels").wait_for()
    page.get_by_label("What the ZIP holds").select_option("cutout")
    with page.expect_download() as started:
        page.get_by_role("button", name="Download all as ZIP").click()
    started.value.save_as(tmp_path / "all.zip")
    assert started.value.suggested_filename == "cut-outs.zip"
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.testzip() is None
        models = [model["name"] for model in server.get("/models").json()]
        names = [(k, name) for k in range(3) for name in models]
        suffixes = ["", "-2", "-3"]
        assert archive.namelist() == [f"photo{suffixes[k]}.{name}.cutout.png" for k, name in names]
        for (k, name), content in zip(names, map(archive.read, archive.namelist()), strict=True):
            assert (
                content == server.post(f"/predict?model={name}&kind=cutout", photos[k].read_bytes()).content
            )
    page.get_by_role("button", name="Remove photo.png").first.click()
    assert page.locator("#photos li").count() == 3
    page.get_by_role("button", name="Remove all").click()
    assert page.get_by_text("The networks that answer").is_visible() and page.locator("#result").is_hidden()


def test_a_photo_that_is_removed_while_the_zip_is_made(page: Any, server: Server, tmp_path: Path) -> None:
    """It is not in the ZIP; the others are."""
    choose(page, *(save(tmp_path / f"{k}.png", scene(60 + k, 80, seed=k)) for k in range(2)))
    held: list[Any] = []
    page.route("**/predict?*", lambda route: route.continue_() if held else held.append(route))
    with page.expect_download() as started:
        page.get_by_role("button", name="Download all as ZIP").click()
        page.get_by_text("ZIP: photo 1 of 2").wait_for()
        page.locator("#photos .open").nth(1).click()
        assert page.get_by_role("button", name="Download all as ZIP").is_disabled()  # one at a time
        page.get_by_role("button", name="Remove 0.png").click()
    started.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.namelist() == [f"1.{model['name']}.png" for model in server.get("/models").json()]


def test_only_the_panels_of_the_photo_that_is_shown_are_kept(page: Any, tmp_path: Path) -> None:
    """Each holds megabytes."""
    choose(page, *(save(tmp_path / f"{k}.png", scene(60 + k, 80, seed=k)) for k in range(4)))
    for k in range(4):
        page.locator("#photos .open").nth(k).click()
        page.get_by_text(f"{k}.png: 80").wait_for()
    devtools = page.context.new_cdp_session(page)
    prototype = devtools.send("Runtime.evaluate", {"expression": "HTMLCanvasElement.prototype"})["result"]
    alive = devtools.send("Runtime.queryObjects", {"prototypeObjectId": prototype["objectId"]})["objects"]
    counted = {"objectId": alive["objectId"], "functionDeclaration": "function() { return this.length; }"}
    count = devtools.send("Runtime.callFunctionOn", counted)["result"]["value"]
    assert count < 4 + 3 * 4  # in the list, and panels; the browser may hold some for a while


def shown_columns(page: Any) -> list[Any]:
    """The width in pixels of what each panel shows, and the colours of its first row."""
    shown = "it => [it.width, [...it.getContext('2d').getImageData(0, 0, it.width, 1).data]]"
    return [canvas.evaluate(shown) for canvas in page.locator(".view canvas").all()]


def test_zoom_in_step_and_enlarge(page: Any, tmp_path: Path) -> None:
    image = np.zeros((128, 256, 3), np.uint8)
    image[..., 0] = np.arange(256)  # red says the column
    choose(page, save(tmp_path / "columns.png", image))
    whole = shown_columns(page)
    assert [width for width, _ in whole] == [256] * 4
    view = page.locator(".view").nth(1)
    view.hover()  # its middle
    page.mouse.wheel(0, -347)  # e ** 0.694: twice as large
    page.get_by_role("button", name="Whole image").wait_for()
    page.wait_for_function("() => document.querySelector('.view canvas').width < 256")
    zoomed = shown_columns(page)
    assert {width for width, _ in zoomed} == {zoomed[0][0]} and abs(zoomed[0][0] - 128) <= 1
    assert abs(zoomed[0][1][0] - 64) <= 3  # the original begins at a quarter
    box = view.bounding_box()
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"], box["y"] + box["height"] / 2, steps=5)  # by half a panel
    page.mouse.up()
    page.wait_for_function(
        "() => document.querySelector('.view canvas').getContext('2d').getImageData(0, 0, 1, 1).data[0] < 8"
    )
    assert page.locator("figure.large").count() == 0  # dragging is no click
    page.get_by_role("button", name="Whole image").click()
    page.wait_for_function("() => document.querySelector('.view canvas').width === 256")
    width = view.bounding_box()["width"]
    view.click()
    assert page.locator("figure.large").count() == 1 and view.bounding_box()["width"] > 1.5 * width
    page.keyboard.press("Escape")
    assert page.locator("figure.large").count() == 0
    view.focus()
    page.keyboard.press("+")
    page.get_by_role("button", name="Whole image").wait_for()


@pytest.mark.parametrize("page", [{"width": 390, "scheme": "light"}], indirect=True)
def test_two_fingers(page: Any, tmp_path: Path) -> None:
    choose(page, save(tmp_path / "photo.png", scene(200, 200)))
    page.locator(".view").first.scroll_into_view_if_needed()
    box, touch = page.locator(".view").first.bounding_box(), page.context.new_cdp_session(page)
    middle, across = box["y"] + 50, box["x"] + box["width"] / 2

    def fingers(kind: str, *apart: int) -> None:
        points = [{"x": across + x, "y": middle, "id": number} for number, x in enumerate(apart)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", -20, 20)
    for apart in range(25, 65, 5):
        fingers("touchMove", -apart, apart)
    fingers("touchEnd")
    page.get_by_role("button", name="Whole image").wait_for()
    page.wait_for_function("() => [...document.querySelectorAll('.view canvas')].every(it => it.width < 100)")
    assert page.locator("figure.large").count() == 0


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
