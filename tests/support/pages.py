"""What a person does with the page, and what they see of it."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qs, urlencode, urlsplit

from playwright.sync_api import Locator, Page

_SETTLED = "() => window.vs && vs.shown && !document.body.classList.contains('vs-busy')"


def link(site_url: str, **params: str | int | Sequence[str]) -> str:
    return f"{site_url}/?{urlencode(params, doseq=True)}"


def settle(page: Page) -> Page:
    """Wait until the page shows the answer to all that was done."""
    page.wait_for_function(_SETTLED)
    return page


def ask(page: Page, sentence: str) -> None:
    question = page.locator("#vs-q input, #vs-q textarea")
    question.fill(sentence)
    question.press("Enter")
    settle(page)


def filter_by(page: Page, sql: str) -> None:
    """Type a filter and press Enter."""
    where = page.locator("#vs-where input, #vs-where textarea")
    where.fill(sql)
    where.press("Enter")
    settle(page)


def press(page: Page, what: str | Locator) -> None:
    """Click something that asks the server, and wait for its answer."""
    (page.locator(what).first if isinstance(what, str) else what).click()
    settle(page)


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
