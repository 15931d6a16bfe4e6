"""Pages in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Opened:
    """A page and everything it complained about.

    Attributes:
        page: of Playwright.
        problems: errors of scripts, messages of the console, requests to anywhere.
    """

    def __init__(self, browser: Any, path: Path, place: str = "", scheme: str = "light") -> None:
        self.page = browser.new_page(viewport={"width": 1280, "height": 820}, color_scheme=scheme)
        self.page.set_default_timeout(8000)
        self.problems: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        self.page.on("console", lambda message: self.problems.append(f"console: {message.text}"))
        self.page.on("request", lambda request: self._note(request.url, path))
        self.page.goto(f"{path.as_uri()}#{place}")

    def _note(self, url: str, path: Path) -> None:
        if not url.startswith((path.as_uri(), "data:", "blob:")):
            self.problems.append(f"request: {url}")

    def go(self, place: str) -> None:
        """Follows a link within the page."""
        self.page.evaluate("place => { location.hash = place; }", place)
        self.page.wait_for_timeout(50)

    def close(self) -> None:
        assert self.problems == []
        self.page.close()


def start() -> Iterator[Any]:
    """The browser; skips, saying what is missing."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright for Python is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield browser
        browser.close()
