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


@pytest.fixture(scope="module")
def profile(browser: Browser) -> Iterator[BrowserContext]:
    """One for many tests: the scripts that it has fetched and compiled halve the time to open a page."""
    opened = browser.new_context(accept_downloads=True)
    opened.set_default_timeout(15_000)
    yield opened
    opened.close()


@pytest.fixture
def open_page(profile: BrowserContext) -> Iterator[OpenPage]:
    """Open a page; `may_complain` is a pattern of console messages that are meant to come. Nothing stays in the browser's storage."""
    watch, origins = _Watch(profile), set()

    def open_at(url: str, *, width: int = 1440, height: int = 900, scheme: str = "light", may_complain: str = "") -> Page:
        watch.expected += [may_complain] if may_complain else []
        page = profile.new_page()
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=scheme)
        origins.add("{0.scheme}://{0.netloc}".format(urlsplit(url)))
        page.goto(url)
        return page

    yield open_at
    for page in profile.pages[1:]:
        page.close()
    for page in profile.pages:
        session = profile.new_cdp_session(page)
        for origin in origins:
            session.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "local_storage"})
        page.close()
    watch.stop()
    assert watch.strangers == []
    assert watch.complaints == []


class _Watch:
    """What the pages of a profile asked other machines for, and what they complained of."""

    def __init__(self, profile: BrowserContext) -> None:
        self.strangers: list[str] = []
        self.expected: list[str] = []
        self._said: list[str] = []
        self._profile = profile
        self._heard: dict[str, Callable[[Any], None]] = {
            "request": self._ask,
            "console": lambda message: self._said.append(message.text) if message.type == "error" else None,
            "weberror": lambda error: self._said.append(f"{error.error} {getattr(error.error, 'stack', '')}"),
            "dialog": self._dialog,
        }
        for name, hear in self._heard.items():
            profile.on(name, hear)

    @property
    def complaints(self) -> list[str]:
        return [text for text in self._said if not any(re.search(pattern, text) for pattern in self.expected)]

    def stop(self) -> None:
        for name, hear in self._heard.items():
            self._profile.remove_listener(name, hear)

    def _ask(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in OWN_SCHEMES and parts.hostname != HOST:
            self.strangers.append(request.url)

    def _dialog(self, dialog: Any) -> None:
        self._said.append(f"a dialog: {dialog.message}")
        dialog.dismiss()
