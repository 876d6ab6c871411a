"""A real browser on real servers, for the tests that ask for one; every page must talk to this machine alone and complain of nothing."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from support.demo_site import damaged_index, demo_index
from support.site import HOST, Site, find_chromium, launch

OpenPage = Callable[..., Page]
OWN_SCHEMES = ("data", "blob", "about")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's executable; without one the tests are skipped, but not in CI."""
    found = find_chromium()
    if found is None:
        message = "no browser: install chromium, or set VIDSEARCH_CHROMIUM to one"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


@pytest.fixture(scope="module")  # not longer: Playwright keeps an event loop running in this thread, where other tests may want their own
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = launch(playwright, chromium)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Path:
    """The folder of an index of the toy world and its videos."""
    return demo_index(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="session")
def site(chromium: str, demo: Path, tmp_path_factory) -> Iterator[Site]:
    """The page of the demo index."""
    yield from _running(demo / "index", tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="session")
def damaged(demo: Path, tmp_path_factory) -> Path:
    """An index with a damaged segment, videos that are gone, and texts that would be a script if they were HTML."""
    return damaged_index(demo, tmp_path_factory.mktemp("damaged"))


@pytest.fixture(scope="session")
def damaged_site(chromium: str, damaged: Path, tmp_path_factory) -> Iterator[Site]:
    yield from _running(damaged, tmp_path_factory.mktemp("damaged-site"))


def _running(index: Path, folder: Path) -> Iterator[Site]:
    running = Site(index, folder)
    running.start()
    try:
        yield running
    finally:
        running.stop()
    assert "Traceback" not in running.printed()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Open a page of its own cookies and storage; `may_complain` is a pattern of console messages that are meant to come."""
    opened: list[tuple[BrowserContext, _Watch]] = []

    def open_at(url: str, *, width: int = 1440, height: int = 900, scheme: str = "light", may_complain: str = "") -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, accept_downloads=True)
        context.set_default_timeout(15_000)
        opened.append((context, _Watch(context, may_complain)))
        page = context.new_page()
        page.goto(url)
        return page

    yield open_at
    for context, _ in opened:
        context.close()
    for _, watch in opened:
        assert watch.strangers == []
        assert watch.complaints == []


class _Watch:
    """What the pages of a context asked other machines for, and what they complained of."""

    def __init__(self, context: BrowserContext, may_complain: str) -> None:
        self.strangers: list[str] = []
        self.complaints: list[str] = []
        self._expected = re.compile(may_complain) if may_complain else None
        context.on("request", lambda request: self._ask(request.url))
        context.on("console", lambda message: self._complain(message.text) if message.type == "error" else None)
        context.on("weberror", lambda error: self._complain(str(error.error)))
        context.on("dialog", self._dialog)

    def _ask(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in OWN_SCHEMES and parts.hostname != HOST:
            self.strangers.append(url)

    def _complain(self, text: str) -> None:
        if not (self._expected and self._expected.search(text)):
            self.complaints.append(text)

    def _dialog(self, dialog: Any) -> None:
        self.complaints.append(f"a dialog: {dialog.message}")
        dialog.dismiss()
