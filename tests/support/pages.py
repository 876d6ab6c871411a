"""What a person does with the page, and what they see of it."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qs, urlencode, urlsplit

from playwright.sync_api import Locator, Page

_SETTLED = """(last) => window.vs && vs.shown && !document.body.classList.contains("vs-busy")
    && `${new URLSearchParams(vs.params)}` === `${new URLSearchParams(location.search)}`
    && Number(document.querySelector("#vs-line [data-n]").dataset.n) > last"""
_LAST = "() => Number(document.querySelector('#vs-line [data-n]')?.dataset.n || 0)"


def link(site_url: str, **params: str | int | Sequence[str]) -> str:
    return f"{site_url}/?{urlencode(params, doseq=True)}"


def settle(page: Page, *, last: int = 0) -> Page:
    """Wait until the page shows the answer to all that was done, and to more than the first `last` actions."""
    page.wait_for_function(_SETTLED, arg=last)
    return page


def ask(page: Page, sentence: str) -> None:
    """Type a sentence and press Enter."""
    _enter(page, "q", sentence)


def filter_by(page: Page, sql: str) -> None:
    """Type a filter and press Enter."""
    _enter(page, "where", sql)


def go(page: Page, **params: str) -> Page:
    """Show another state in the page that is open, as Back does."""
    last = page.evaluate(_LAST)
    page.evaluate("(params) => vs.act({ kind: 'goto', params })", urlencode(params))
    return settle(page, last=last)


def _enter(page: Page, area: str, text: str) -> None:
    last = page.evaluate(_LAST)
    place = page.locator(f"#vs-{area} input, #vs-{area} textarea")
    place.fill(text)
    place.press("Enter")
    settle(page, last=last)


def press(page: Page, what: str | Locator) -> None:
    """Click something that asks the server, and wait for its answer."""
    last = page.evaluate(_LAST)
    (page.locator(what).first if isinstance(what, str) else what).click()
    settle(page, last=last)


def key(page: Page, name: str) -> None:
    """Press a key that asks the server, and wait for its answer."""
    last = page.evaluate(_LAST)
    page.keyboard.press(name)
    settle(page, last=last)


def clips(page: Page) -> list[str]:
    """Return the ids of the clips shown, in their order."""
    ids: list[str] = page.eval_on_selector_all(".vs-card", "cards => cards.map(card => card.dataset.clip)")
    return ids


def said(page: Page, area: str) -> str:
    """Return the text of an area."""
    return page.locator(f"#vs-{area}").inner_text().strip()


def state(page: Page) -> dict[str, list[str]]:
    """Return the URL's parameters."""
    return parse_qs(urlsplit(page.url).query)


def video_time_s(page: Page) -> float:
    """Return where the player is in its video."""
    return float(page.eval_on_selector(".vs-player video", "video => video.currentTime"))
