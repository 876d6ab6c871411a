"""How the page looks and reads: on a phone, in the dark, to a screen reader."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Error, Page
from support.pages import go, link, press, settle

AXE = Path(__file__).parents[2] / "build" / "npm" / "node_modules" / "axe-core" / "axe.min.js"
VIEWS = (
    {"q": "a star"},
    {"where": "language = 'en' and aesthetic > 5 and type in ('single', 'pair') and youtube_id >= 'toyA'"},
    {"tab": "dataset"},
    {"tab": "map"},
)
GRAVE = ("serious", "critical")


@pytest.fixture(scope="module")
def axe() -> str:
    """The script of axe-core; without it the tests are skipped, but not in CI."""
    if not AXE.exists():
        message = "no axe-core: npm install --prefix build/npm axe-core@4"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return AXE.read_text(encoding="utf-8")


def views(page: Page) -> Iterator[str]:
    """Show one view after the other in a page, each when its charts are there and nothing moves any more."""
    for params in VIEWS:
        go(page, **params)
        tab = page.evaluate("document.body.dataset.tab")
        if tab != "search":
            page.wait_for_selector(f"#vs-{tab}-place :is(.main-svg, canvas)")
        page.wait_for_timeout(300)
        yield "&".join(params)
        if tab == "search":
            press(page, ".vs-open")
            yield "&".join((*params, "clip"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation(site, open_page, axe, scheme):
    page = settle(open_page(site.url, scheme=scheme))
    page.evaluate(axe)
    for view in views(page):
        assert grave(page) == [], view
    page.locator('[data-page="cart"]').click()
    assert grave(page) == []


def grave(page: Page) -> list[str]:
    """Return serious and critical violations, each with the first elements that have it."""
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{violation['id']} ({violation['impact']}): {violation['help']}: {[node['html'][:150] for node in violation['nodes'][:3]]}"
        for violation in found["violations"]
        if violation["impact"] in GRAVE
    ]


def test_nothing_is_wider_than_the_screen(site, open_page):
    page = settle(open_page(site.url))
    for view in views(page):
        for width in (390, 768, 1180, 1440):
            page.set_viewport_size({"width": width, "height": 844})
            with suppress(Error):  # what is laid out anew moves
                page.wait_for_function(f"() => !({CUT_OFF})().length", timeout=2000)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (view, width)
            assert page.evaluate(CUT_OFF) == [], (view, width)


CUT_OFF = """() => [...document.querySelectorAll("button, input, .vs-card, .vs-player, .vs-chip, .vs-banner, #vs-headline, #vs-sort")]
    .filter((element) => element.checkVisibility() && !element.closest(".vs-strip, .vs-charts"))
    .filter((element) => { const box = element.getBoundingClientRect(); return box.width && (box.right > innerWidth + 1 || box.left < -1) })
    .map((element) => element.outerHTML.slice(0, 120))"""


def test_the_player_shows_whole_pictures_beside_the_results(site, open_page):
    page = settle(open_page(link(site.url, q="a star")))
    press(page, ".vs-open")
    video, screen = (page.locator(place).bounding_box() for place in (".vs-player video", ".vs-screen"))
    assert video["height"] <= screen["height"]
    lefts = page.eval_on_selector_all(".vs-card", "cards => [...new Set(cards.map(card => card.offsetLeft))]")
    assert len(lefts) >= 3
    assert page.locator("#vs-main").bounding_box()["width"] > screen["width"]


def test_a_phone_shows_clips_first_and_filters_when_asked(site, open_page):
    page = settle(open_page(link(site.url, q="a star"), width=390, height=844))
    assert page.locator(".vs-card").first.bounding_box()["y"] < 844
    assert not page.locator('[data-facet="language"]').is_visible()
    page.locator('[data-page="facets"]').click()
    assert page.locator('[data-facet="language"]').is_visible()


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_the_colours_follow_the_system(site, open_page, scheme, dark):
    page = settle(open_page(site.url, scheme=scheme))
    assert (brightness(page) < 0.3) == dark
    page.locator('[data-page="theme"]').click()
    assert (brightness(page) < 0.3) != dark
    page.reload()
    settle(page)
    assert (brightness(page) < 0.3) != dark  # it was chosen


def brightness(page: Page) -> float:
    """Return that of the background, 0 to 1."""
    return page.evaluate(
        """() => { for (let e = document.querySelector("#vs-results"); e; e = e.parentElement) {
            const [r, g, b, a = 1] = getComputedStyle(e).backgroundColor.match(/[\\d.]+/g).map(Number);
            if (a > 0.5) return (r + g + b) / 765; } return 1; }"""
    )
