"""Take the pictures of docs/ from the demo index, by the real command in a real browser.

vidsearch demo && python tools/screenshots.py vidsearch-demo/index
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:1] = [str(ROOT / "tests"), str(ROOT)]

from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402
from support.pages import link, press, settle  # noqa: E402
from support.site import Site, find_chromium, launch  # noqa: E402

LARGEST_BYTES = 400_000
PICTURES_THERE = """() => [...document.images].every((image) =>
    image.complete || !image.checkVisibility() || image.getBoundingClientRect().top > innerHeight)"""
SENTENCE = "a blue circle moves up"


def no_more(page: Page) -> None:
    """Leave the page as it is."""


def open_third(page: Page) -> None:
    """Play a clip, and wait for a frame from the middle of it."""
    press(page, page.locator(".vs-open").nth(2))
    page.wait_for_function("() => document.querySelector('.vs-player video')?.currentTime > 0.8")
    page.locator('[data-control="play"]').click()


@dataclass(frozen=True)
class Picture:
    """What to take a picture of."""

    name: str
    params: dict[str, str] = field(default_factory=lambda: {"q": SENTENCE})
    before: Callable[[Page], None] = no_more
    width: int = 1440
    height: int = 900
    scheme: str = "light"


PICTURES = (
    Picture("search", {"q": SENTENCE, "where": "type in ('single', 'pair')"}),
    Picture("player", before=open_third),
    Picture("dataset", {"tab": "dataset"}),
    Picture("map", {"tab": "map", "color": "type", "q": SENTENCE}),
    Picture("phone", width=390, height=844),
    Picture("dark", before=open_third, scheme="dark"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", type=Path, help="that of `vidsearch demo`")
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    parser.add_argument("--only", default="", help="names of pictures, with commas between")
    options = parser.parse_args()
    wanted = [picture for picture in PICTURES if not options.only or picture.name in options.only.split(",")]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        site = Site(options.index.resolve(), Path(folder))
        site.start()
        browser = launch(playwright, find_chromium() or sys.exit("no browser: install chromium, or set VIDSEARCH_CHROMIUM to one"))
        try:
            for picture in wanted:
                path = options.out / f"ui-{picture.name}.png"
                take(browser, site, picture, path)
                print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
                if path.stat().st_size > LARGEST_BYTES:
                    sys.exit(f"{path} is larger than {LARGEST_BYTES / 1000:.0f} kB")
        finally:
            browser.close()
            site.stop()


def take(browser: Browser, site: Site, picture: Picture, path: Path) -> None:
    """Open the page as it is to be seen, and write what is on the screen."""
    context = browser.new_context(
        viewport={"width": picture.width, "height": picture.height}, color_scheme=picture.scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto(link(site.url, **picture.params))
    settle(page)
    tab = picture.params.get("tab", "search")
    page.wait_for_selector(".vs-card" if tab == "search" else f"#vs-{tab}-place :is(.main-svg, canvas)")
    picture.before(page)
    page.wait_for_function(PICTURES_THERE)
    page.wait_for_timeout(1000)  # what fades and slides
    page.screenshot(path=path)
    context.close()


if __name__ == "__main__":
    main()
