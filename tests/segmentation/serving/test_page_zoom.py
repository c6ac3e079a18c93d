"""The panels of the page move together and open large, in a real browser."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsers import choose, needs_browser
from photos import save, scene

pytestmark = needs_browser


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
