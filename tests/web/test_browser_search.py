"""The page in a real browser: asking, filtering, paging, looking, and leaving with a list."""

import csv
import re
import zipfile

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import expect
from support.demo_site import LONG, PART_S
from support.pages import ask, clips, filter_by, key, link, press, said, settle, state, video_time_s

import vidsearch

SENTENCE = "a red circle moves up"
PAGE = 24


@pytest.fixture(scope="module")
def index(demo):
    return vidsearch.open_index(demo)


def test_a_sentence_shows_the_clips_that_the_index_finds(site, open_page, index):
    page = settle(open_page(site.url))
    ask(page, SENTENCE)
    assert clips(page) == [hit.clip_id for hit in index.search(SENTENCE, k=PAGE)]
    assert state(page) == {"q": [SENTENCE]}
    first = page.locator(".vs-card").first
    hit = index.search(SENTENCE, k=1)[0]
    assert hit.caption in first.inner_text()
    assert f"{hit.score:.3f}" in first.inner_text()
    page.wait_for_function("() => document.querySelector('.vs-card img').naturalWidth > 0")
    assert "exact" in said(page, "how")


def test_an_example_of_the_index_can_be_pressed(site, open_page):
    page = settle(open_page(site.url))
    example = page.locator(".vs-example").first
    sentence = example.inner_text()
    press(page, example)
    assert state(page)["q"] == [sentence]
    assert page.locator("#vs-q input, #vs-q textarea").input_value() == sentence


def test_what_is_not_wanted_moves_down(site, open_page, index):
    page = settle(open_page(site.url))
    page.locator("#vs-nots input, #vs-nots textarea").fill("a blue square; a star")
    ask(page, SENTENCE)
    assert state(page)["nots"] == ["a blue square", "a star"]
    assert clips(page) == [hit.clip_id for hit in index.search(SENTENCE, exclude=["a blue square", "a star"], k=PAGE)]


def test_a_facet_filters_and_its_chip_takes_that_back(site, open_page, index):
    page = settle(open_page(link(site.url, q=SENTENCE)))
    before = clips(page)
    german = page.locator('[data-facet="language"] .vs-value', has_text="de")
    german_clips = index.count(where="language = 'de'").rows
    expect(german.locator(".vs-count")).to_have_text(str(german_clips))
    press(page, german)
    assert len(clips(page)) == german_clips
    assert {hit.clip_id for hit in index.search(SENTENCE, where="language = 'de'", k=PAGE)} == set(clips(page))
    assert index.count(where=page.locator("#vs-where input, #vs-where textarea").input_value()).rows == german_clips
    expect(german).to_have_attribute("aria-pressed", "true")
    press(page, page.locator(".vs-chip", has_text="de").locator("button"))
    assert clips(page) == before
    assert page.locator("#vs-where input, #vs-where textarea").input_value() == ""


def test_a_typed_filter_shows_as_facets_and_chips(site, open_page, index):
    page = settle(open_page(site.url))
    filter_by(page, "type = 'pair' and aesthetic >= 5")
    assert page.locator(".vs-chip").count() == 2
    expect(page.locator('[data-facet="type"] .vs-value', has_text="pair")).to_have_attribute("aria-pressed", "true")
    expect(page.locator('[data-ends="aesthetic"] [data-end="low"]')).to_have_value("5")
    found = index.count(where="type = 'pair' and aesthetic >= 5").rows
    assert f"{found} clips" in said(page, "headline")
    low = page.locator('[data-ends="aesthetic"] [data-end="low"]')
    low.fill("5.3")
    key(page, "Enter")
    found = index.count(where="type = 'pair' and aesthetic >= 5.3").rows
    assert f"{found} clips" in said(page, "headline")


def test_pages_follow_each_other(site, open_page, index):
    page = settle(open_page(link(site.url, q=SENTENCE)))
    press(page, page.locator(".vs-pager button", has_text="Next"))
    everything = [hit.clip_id for hit in index.search(SENTENCE, k=2 * PAGE)]
    assert clips(page) == everything[PAGE:]
    assert state(page)["page"] == ["2"]
    assert f"{PAGE + 1}–{2 * PAGE} of 120" in page.locator(".vs-pager").inner_text()


def test_results_are_sorted_by_a_column(site, open_page):
    page = settle(open_page(link(site.url, sort="aesthetic desc")))
    shown = [float(text.split("★")[1]) for text in page.locator(".vs-facts").all_inner_texts()]
    assert shown == sorted(shown, reverse=True)


def test_clips_of_one_video_are_grouped(site, open_page):
    page = settle(open_page(link(site.url, where=f"youtube_id = '{LONG}'")))
    assert len(clips(page)) == 5
    press(page, "#vs-group input")
    assert len(clips(page)) == 1
    assert "×5" in page.locator(".vs-card").inner_text()


def test_the_player_stays_inside_the_clip(site, open_page, index):
    page = settle(open_page(link(site.url, where=f"youtube_id = '{LONG}' and start_s = {2 * PART_S}")))
    press(page, ".vs-open")
    start_s, end_s = 2 * PART_S, 3 * PART_S
    page.wait_for_function(f"() => {{ const v = document.querySelector('.vs-player video'); return v.currentTime > {start_s + 0.2} }}")
    assert start_s <= video_time_s(page) <= end_s
    page.eval_on_selector(".vs-player video", f"video => {{ video.currentTime = {end_s - 0.3} }}")
    times = []
    for _ in range(12):
        page.wait_for_timeout(100)
        times.append(video_time_s(page))
    assert min(times) >= start_s - 0.05
    assert max(times) <= end_s + 0.05
    assert times[-1] < end_s - 0.3  # it began again
    assert page.locator(".vs-near").count() == 5
    assert page.locator(".vs-near[aria-current]").count() == 1
    assert f"youtube.com/watch?v={LONG}&t={start_s}s" in page.locator(".vs-player a").get_attribute("href")


def test_the_player_steps_by_one_frame(site, open_page):
    page = settle(open_page(link(site.url, where=f"youtube_id = '{LONG}' and start_s = {PART_S}")))
    press(page, ".vs-open")
    page.wait_for_function("() => document.querySelector('.vs-player video').currentTime > 0")
    page.locator('[data-control="play"]').click()
    page.keyboard.press(".")
    page.wait_for_timeout(200)
    before = video_time_s(page)
    page.locator('[data-control="forward"]').click()
    page.wait_for_timeout(200)
    assert video_time_s(page) - before == pytest.approx(0.1, abs=0.02)
    page.locator('[data-control="back"]').click()
    page.wait_for_timeout(200)
    assert video_time_s(page) == pytest.approx(before, abs=0.02)


def test_hovering_plays_a_silent_preview(site, open_page):
    page = settle(open_page(link(site.url, q=SENTENCE)))
    page.locator(".vs-shot").first.hover()
    page.wait_for_function("() => { const v = document.querySelector('.vs-shot video'); return v && v.muted && v.currentTime > 0 }")
    page.locator(".vs-shot").nth(3).hover()
    page.wait_for_function("() => document.querySelectorAll('.vs-shot video').length < 2")


def test_more_like_this_asks_with_the_clip(site, open_page, index):
    page = settle(open_page(link(site.url, q=SENTENCE)))
    clip = clips(page)[0]
    page.locator(".vs-card").first.hover()
    press(page, page.locator(".vs-card").first.get_by_label("More like this"))
    assert state(page) == {"like": [clip]}
    assert clips(page) == [hit.clip_id for hit in index.search(like=clip, k=PAGE)]
    assert "like clip" in said(page, "chips")


def test_a_caption_is_searched_for(site, open_page, index):
    page = settle(open_page(link(site.url, where="language = 'de'")))
    press(page, ".vs-open")
    caption = page.locator(".vs-player .vs-said").inner_text()
    press(page, page.locator(".vs-player").get_by_text("Search this caption"))
    assert state(page)["q"] == [caption]


def test_thumbs_refine_the_question(site, open_page, index):
    page = settle(open_page(link(site.url, q=SENTENCE)))
    before = clips(page)
    for place, label in ((1, "Good: more of this"), (0, "Bad: less of this")):
        page.locator(f'[data-clip="{before[place]}"]').hover()
        press(page, page.locator(f'[data-clip="{before[place]}"]').get_by_label(label))
    assert state(page)["up"] == [before[1]]
    assert state(page)["down"] == [before[0]]
    after = clips(page)
    assert after[0] == before[1]
    assert "2 thumbs" in said(page, "chips")
    expect(page.locator("#vs-pull")).to_be_visible()
    press(page, page.get_by_label("Remove 2 thumbs"))
    assert clips(page) == before


def test_selected_clips_are_exported(site, open_page, tmp_path, index):
    page = settle(open_page(link(site.url, q=SENTENCE, where="type = 'single'")))
    chosen = clips(page)[:3]
    for clip in chosen:
        page.locator(f'.vs-card[data-clip="{clip}"]').hover()
        page.locator(f'.vs-pick[data-pick="{clip}"]').click()
    expect(page.locator(".vs-top [data-cart-count]")).to_have_text("3")
    page.reload()
    settle(page)
    expect(page.locator(".vs-top [data-cart-count]")).to_have_text("3")
    page.locator('[data-page="cart"]').click()
    page.locator("#vs-form").select_option("parquet")
    with page.expect_download() as download:
        page.locator('[data-page="exportCart"]').click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    with pq.ParquetFile(path) as file:
        assert file.read()["clip_id"].to_pylist() == chosen
        said_of_it = b"".join(file.metadata.metadata.values()).decode()
    assert index.manifest.space.id in said_of_it


def test_all_that_match_are_exported(site, open_page, tmp_path, index):
    page = settle(open_page(link(site.url, where="type = 'single'")))
    page.locator('[data-page="cart"]').click()
    page.locator("#vs-form").select_option("csv")
    with page.expect_download() as download:
        page.locator('[data-page="exportAll"]').click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    with zipfile.ZipFile(path) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".csv")]
        (recipe,) = [name for name in archive.namelist() if name.endswith(".json")]
        rows = list(csv.DictReader(archive.read(name).decode().splitlines()))
        assert "type = 'single'" in archive.read(recipe).decode()
    assert {row["type"] for row in rows} == {"single"}
    assert len(rows) == index.count(where="type = 'single'").rows


def test_a_link_opens_the_same_view(site, open_page):
    page = settle(open_page(link(site.url, q=SENTENCE, page=2)))
    filter_by(page, "language = 'en'")
    press(page, page.locator(".vs-pager button", has_text="Next"))
    press(page, page.locator(".vs-open").nth(4))
    shown = (clips(page), said(page, "chips"), said(page, "headline"), page.locator(".vs-player").get_attribute("data-playing"))
    assert {"q", "where", "page", "clip"} == set(state(page))
    page.reload()
    settle(page)
    again = settle(open_page(page.url))
    for reopened in (page, again):
        name = reopened.locator(".vs-player").get_attribute("data-playing")
        assert (clips(reopened), said(reopened, "chips"), said(reopened, "headline"), name) == shown
        assert reopened.locator("#vs-q input, #vs-q textarea").input_value() == SENTENCE


def test_back_and_forward_go_through_what_was_shown(site, open_page):
    page = settle(open_page(site.url))
    seen = [clips(page)]
    for sentence in ("a star", "a blue square grows"):
        ask(page, sentence)
        seen.append(clips(page))
    for step, wanted in ((page.go_back, seen[1]), (page.go_back, seen[0]), (page.go_forward, seen[1]), (page.go_forward, seen[2])):
        step()
        settle(page)
        assert clips(page) == wanted
    assert page.locator("#vs-q input, #vs-q textarea").input_value() == "a blue square grows"


def test_two_tabs_do_not_disturb_each_other(site, open_page):
    one = settle(open_page(link(site.url, q="a star")))
    two = one.context.new_page()
    two.goto(link(site.url, q="a green ring"))
    settle(two)
    shown = clips(one)
    filter_by(two, "language = 'de'")
    press(one, one.locator(".vs-pager button", has_text="Next"))
    assert state(one) == {"q": ["a star"], "page": ["2"]}
    press(one, one.locator(".vs-pager button", has_text="Previous"))
    assert clips(one) == shown
    two.locator(".vs-card").first.hover()
    two.locator(".vs-pick").first.click()
    expect(one.locator(".vs-top [data-cart-count]")).to_have_text("1")


def test_keys_do_what_they_say(site, open_page):
    page = settle(open_page(link(site.url, q=SENTENCE)))
    shown = clips(page)
    page.keyboard.press("/")
    expect(page.locator("#vs-q input, #vs-q textarea")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.closest('.vs-card').dataset.clip") == shown[1]
    page.keyboard.press("s")
    expect(page.locator(".vs-top [data-cart-count]")).to_have_text("1")
    expect(page.locator(f'.vs-pick[data-pick="{shown[1]}"]')).to_have_attribute("aria-pressed", "true")
    key(page, " ")
    assert state(page)["clip"] == [shown[1]]
    page.wait_for_function("() => document.querySelector('.vs-player video').currentTime > 0")
    page.keyboard.press(" ")
    page.wait_for_function("() => document.querySelector('.vs-player video').paused")
    key(page, "ArrowRight")
    assert state(page)["clip"] == [shown[2]]
    key(page, "Escape")
    assert "clip" not in state(page)


def test_a_picture_is_asked_with(site, open_page, demo, index):
    page = settle(open_page(site.url))
    video = demo / index.search(SENTENCE, k=1)[0].video
    page.locator("#vs-file").set_input_files(video)
    page.wait_for_url(re.compile("upload="), timeout=90_000)  # the first one loads torch
    settle(page)
    assert index.search(SENTENCE, k=1)[0].clip_id == clips(page)[0]
    assert "file you dropped in" in said(page, "chips")
