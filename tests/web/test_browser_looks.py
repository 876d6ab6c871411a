"""How the page looks and reads: on a phone, in the dark, to a screen reader."""

import os
from pathlib import Path

import pytest
from support.pages import link, press, settle

AXE = Path(__file__).parents[2] / "build" / "npm" / "node_modules" / "axe-core" / "axe.min.js"
VIEWS = ({"q": "a star"}, {"q": "a star", "where": "language = 'en' and aesthetic > 5"}, {"tab": "dataset"}, {"tab": "map"})
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


def ready(page):
    """Wait for the charts of a tab, and for what fades in."""
    settle(page)
    tab = page.evaluate("document.body.dataset.tab")
    if tab != "search":
        page.wait_for_selector(f"#vs-{tab}-place :is(.main-svg, canvas)")
    page.wait_for_timeout(300)
    return page


@pytest.mark.parametrize("params", VIEWS, ids="-".join)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation(site, open_page, axe, scheme, params):
    page = ready(open_page(link(site.url, **params), scheme=scheme))
    assert grave(page, axe) == []
    if "q" in params:
        press(page, ".vs-open")
        assert grave(page, axe) == []
        page.locator('[data-page="cart"]').click()
        assert grave(page, axe) == []


def grave(page, axe: str) -> list[str]:
    """Return serious and critical violations, each with the first elements that have it."""
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{violation['id']} ({violation['impact']}): {violation['help']}: {[node['html'][:150] for node in violation['nodes'][:3]]}"
        for violation in found["violations"]
        if violation["impact"] in GRAVE
    ]


@pytest.mark.parametrize("params", [*VIEWS, {"q": "a star", "clip": ""}], ids="-".join)
@pytest.mark.parametrize("width", [390, 768, 1440])
def test_nothing_is_wider_than_the_screen(site, open_page, width, params):
    page = ready(open_page(link(site.url, **params), width=width, height=844))
    if "clip" in params:
        press(page, ".vs-open")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CUT_OFF) == []


CUT_OFF = """() => [...document.querySelectorAll("button, input, .vs-card, .vs-player, .vs-chip, .vs-banner, #vs-headline, #vs-sort")]
    .filter((element) => element.checkVisibility() && !element.closest(".vs-strip, .vs-charts"))
    .filter((element) => { const box = element.getBoundingClientRect(); return box.width && (box.right > innerWidth + 1 || box.left < -1) })
    .map((element) => element.outerHTML.slice(0, 120))"""


def test_the_player_shows_whole_pictures_beside_the_results(site, open_page):
    page = ready(open_page(link(site.url, q="a star")))
    press(page, ".vs-open")
    video, screen = (page.locator(place).bounding_box() for place in (".vs-player video", ".vs-screen"))
    assert video["height"] <= screen["height"]
    lefts = page.eval_on_selector_all(".vs-card", "cards => [...new Set(cards.map(card => card.offsetLeft))]")
    assert len(lefts) >= 3
    assert page.locator("#vs-main").bounding_box()["width"] > screen["width"]


def test_a_phone_shows_clips_first_and_filters_when_asked(site, open_page):
    page = ready(open_page(link(site.url, q="a star"), width=390, height=844))
    assert page.locator(".vs-card").first.bounding_box()["y"] < 844
    assert not page.locator('[data-facet="language"]').is_visible()
    page.locator('[data-page="facets"]').click()
    assert page.locator('[data-facet="language"]').is_visible()


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_the_colours_follow_the_system(site, open_page, scheme, dark):
    page = ready(open_page(site.url, scheme=scheme))
    assert (brightness(page) < 0.3) == dark
    page.locator('[data-page="theme"]').click()
    assert (brightness(page) < 0.3) != dark
    page.reload()
    ready(page)
    assert (brightness(page) < 0.3) != dark  # it was chosen


def brightness(page) -> float:
    """Return that of the background, 0 to 1."""
    return page.evaluate(
        """() => { for (let e = document.querySelector("#vs-results"); e; e = e.parentElement) {
            const [r, g, b, a = 1] = getComputedStyle(e).backgroundColor.match(/[\\d.]+/g).map(Number);
            if (a > 0.5) return (r + g + b) / 765; } return 1; }"""
    )
