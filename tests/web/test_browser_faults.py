"""The page when something is wrong: it says what, shows no stack trace, and goes on."""

import pytest
from support.demo_site import HOSTILE, SCRIPT
from support.pages import ask, clips, filter_by, link, press, said, settle, state

MISSING = "Failed to load resource"  # what chromium says of each poster whose video is gone


@pytest.fixture
def unhurt(damaged_site, open_page):
    """Open a page on the damaged index, and see afterwards that no text of it ran."""
    pages = []

    def open_at(**params):
        pages.append(settle(open_page(link(damaged_site.url, **params), may_complain=MISSING)))
        return pages[-1]

    yield open_at
    for page in pages:
        assert page.evaluate("window.hacked") is None


def test_what_a_data_set_says_stays_text(unhurt):
    page = unhurt(where="language not in ('en', 'de')")
    shown = page.locator(".vs-caption").all_inner_texts()
    assert len(shown) == len(HOSTILE)
    assert set(HOSTILE[:4]) <= set(shown)
    for text in HOSTILE[:4]:
        assert text[:20] in said(page, "facets")  # long ones are shortened there


def test_hostile_texts_stay_text_as_chips_and_in_the_player(unhurt):
    page = unhurt()
    press(page, page.locator('[data-facet="language"] .vs-value', has_text="<script>"))
    assert len(clips(page)) == 1
    assert SCRIPT in said(page, "chips")
    press(page, ".vs-open")
    assert SCRIPT in page.locator(".vs-player .vs-said").inner_text()
    assert "<img" in page.locator(".vs-player h2").inner_text()
    press(page, page.locator(".vs-player").get_by_text("Search this caption"))
    assert state(page)["q"] == [SCRIPT]


@pytest.mark.parametrize("tab", ["dataset", "map"])
def test_hostile_texts_stay_text_in_charts(unhurt, tab):
    page = unhurt(tab=tab, color="language")
    page.wait_for_selector(f"#vs-{tab}-place :is(.main-svg, canvas)")
    page.wait_for_function(f"() => document.querySelector('#vs-{tab}-place').textContent.includes('onerror')")


def test_a_damaged_segment_and_missing_videos_are_told(unhurt):
    page = unhurt(q="a star")
    told = said(page, "banners")
    assert "damaged" in told
    assert "60 clips left out" in told
    assert "Videos are missing" in told
    assert "toy demo model" in told
    assert len(clips(page)) == 24


def test_a_clip_without_its_video_says_so(unhurt):
    page = unhurt(where="language like '<script>%'")
    press(page, ".vs-open")
    assert page.locator(".vs-player video").count() == 0
    assert "video" in page.locator(".vs-screen").inner_text().lower()


def test_a_filter_that_matches_nothing_says_which_part(site, open_page):
    page = settle(open_page(site.url))
    filter_by(page, "language = 'de' and aesthetic > 100")
    assert clips(page) == []
    text = said(page, "results")
    assert "Nothing to show" in text
    assert "aesthetic > 100" in text
    press(page, page.get_by_text("Remove the filter"))
    assert len(clips(page)) == 24


def test_a_wrong_filter_is_named_and_changes_nothing(site, open_page):
    page = settle(open_page(link(site.url, q="a star")))
    shown = clips(page)
    filter_by(page, "colour = 'red'")
    assert "colour" in said(page, "problem")
    assert clips(page) == shown
    assert state(page) == {"q": ["a star"]}
    filter_by(page, "language = 'en'; drop table clips")
    assert said(page, "problem")
    filter_by(page, "language = 'en'")
    assert said(page, "problem") == ""


def test_an_upload_that_is_no_picture_is_refused(site, open_page, tmp_path):
    page = settle(open_page(site.url, may_complain="status of 400"))
    for name, content in (("song.png", b"\x89PNG but no more"), ("page.html", SCRIPT.encode()), ("empty.jpg", b"")):
        path = tmp_path / name
        path.write_bytes(content)
        page.locator("#vs-file").set_input_files(path)
        page.wait_for_function(f"() => document.querySelector('#vs-told').innerText.includes('{name}') && !vs.busy")
        page.wait_for_function("() => !document.querySelector('#vs-told').innerText.startsWith('Looking')")
        told = page.locator("#vs-told").inner_text()
        assert name in told
        assert "Traceback" not in told
    assert len(clips(page)) == 24


def test_ten_megabytes_of_text_are_refused(site, open_page):
    page = settle(open_page(site.url))
    page.evaluate("() => vs.act({kind: 'search', q: 'x'.repeat(10 * 1024 * 1024)})")
    page.wait_for_function("() => !document.querySelector('#vs-told').hidden")
    assert "10,485,760 characters" in page.locator("#vs-told").inner_text()
    ask(page, "a star")
    assert len(clips(page)) == 24


def test_a_link_that_nobody_wrote_says_what_is_wrong(site, open_page):
    for params in ({"page": "x"}, {"mode": "magic"}, {"clip": "nowhere"}, {"where": "1 = 1; --"}, {"lasso": "nan,1"}):
        page = settle(open_page(link(site.url, **params)))
        assert said(page, "problem"), params
        assert "Traceback" not in page.content()
    assert len(clips(page)) == 24


def test_the_page_goes_on_when_the_server_comes_back(damaged_site, open_page):
    page = settle(open_page(link(damaged_site.url, q="a star"), may_complain=f"{MISSING}|ERR_|Could not|Connection|fetch"))
    shown = clips(page)
    damaged_site.stop()
    page.locator("#vs-q input, #vs-q textarea").fill("a ring")
    page.locator("#vs-q input, #vs-q textarea").press("Enter")
    page.wait_for_function("() => document.querySelector('#vs-told').innerText.includes('does not answer')", timeout=20_000)
    assert clips(page) == shown
    damaged_site.start()
    page.wait_for_function("() => new URLSearchParams(location.search).get('q') === 'a ring'", timeout=20_000)
    settle(page)
    assert clips(page) != shown
    assert page.locator("#vs-told").is_hidden()
