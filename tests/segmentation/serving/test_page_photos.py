"""Several photos on the page, and what is downloaded, in a real browser."""

import zipfile
from pathlib import Path
from typing import Any

from browsers import choose, needs_browser
from photos import save, scene
from servers import Server

pytestmark = needs_browser


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
