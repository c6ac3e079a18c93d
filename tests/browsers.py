"""A real browser, without a network."""

import shutil
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")


def outside(url: str) -> list[str]:
    return [] if url.startswith(("file:", "data:")) else [url]


def opened(browser: Any, page: Path, width: int = 1280, **options: Any) -> tuple[Any, list[str]]:
    """The page in a window without network, and what the browser complains about."""
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=True, **options)
    shown, complaints = context.new_page(), []
    shown.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    shown.on("pageerror", lambda error: complaints.append(str(error)))
    shown.on("request", lambda request: complaints.extend(outside(request.url)))
    shown.goto(page.as_uri())
    return shown, complaints


def choose(page: Any, *photos: Path) -> None:
    """Bring photos to the server's page; the first one is shown."""
    page.set_input_files("#file", photos)
    page.get_by_text(f"{photos[0].name}: ").wait_for()
    page.wait_for_selector("#panels figure")
    page.wait_for_function("() => !document.body.innerText.match(/waiting|in work/)")
