"""The Dataset and Map tabs in a real browser: what is drawn, and what a click on it does."""

import re

from support.pages import link, press, said, settle, state

import vidsearch


def test_a_bar_of_the_dataset_filters(site, open_page, demo):
    page = settle(open_page(link(site.url, tab="dataset")))
    bar = page.locator('[data-chart="type"] .bars .point path').first
    bar.wait_for()
    box = bar.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_url(re.compile("where="))
    settle(page)
    (where,) = state(page)["where"]
    clips = vidsearch.open_index(demo).count(where=where).rows
    assert 0 < clips < 120
    press(page, page.get_by_role("tab", name="Search"))
    assert f"{clips} clips" in said(page, "headline")


def test_a_lasso_on_the_map_filters(site, open_page):
    page = settle(open_page(link(site.url, tab="map")))
    page.get_by_label("Lasso: circle clips").click()
    box = page.locator(".vs-map-stage canvas").bounding_box()
    corners = [(0.1, 0.1), (0.55, 0.1), (0.55, 0.9), (0.1, 0.9), (0.1, 0.12)]
    places = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up()
    page.wait_for_url(re.compile("lasso="))
    settle(page)
    press(page, page.get_by_role("tab", name="Search"))
    inside = int(re.search(r"([\d,]+) clip", said(page, "headline")).group(1))
    assert 0 < inside < 120
    assert "region of the map" in said(page, "chips")
    press(page, page.get_by_label("Remove region of the map"))
    assert "120 clips" in said(page, "headline")


def test_a_point_of_the_map_opens_its_clip(site, open_page):
    page = settle(open_page(link(site.url, tab="map", q="a star", color="type")))
    page.locator(".vs-map-legend", has_text="single").wait_for()
    assert "current results" in page.locator(".vs-map-legend").inner_text()
    box = page.locator(".vs-map-stage canvas").bounding_box()
    for x, y in ((x / 20, y / 20) for y in range(2, 18) for x in range(2, 18)):  # until the pointer is over a clip
        page.mouse.move(box["x"] + box["width"] * x, box["y"] + box["height"] * y)
        if page.locator("canvas.is-over").count():
            break
    page.mouse.down()
    page.mouse.up()
    page.wait_for_url(re.compile("clip="))
    settle(page)
    assert page.locator(".vs-player video").count() == 1
