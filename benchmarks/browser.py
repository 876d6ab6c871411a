"""The page on a large index: how long until it is painted, a search shows pictures, facets are counted; and the memory of the server.

    python benchmarks/_browser_data.py FOLDER --rows 1000000     # once: some minutes, 2 GB
    python benchmarks/browser.py FOLDER/index --json browser.json

The real command serves the index and a real chromium looks at it, both on this machine; times are the browser's own, from the navigation
or the key to the event. Every question is asked once, so nothing is remembered from the one before; posters are cut from the videos when
they are first asked for, in an empty cache.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

import psutil  # noqa: E402
from _machine import describe  # noqa: E402
from _search_columns import WHAT, WHERE, WHO  # noqa: E402
from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402
from support.pages import settle  # noqa: E402
from support.site import Site, find_chromium, launch  # noqa: E402

from ui.explorer import Shelf  # noqa: E402
from ui.filtering.facets import facets  # noqa: E402
from ui.state import State  # noqa: E402
from vidsearch.engine import open_index  # noqa: E402

AIMS_MS = {"first paint": 2000, "search to first thumbnail": 700, "facet counts in the page": 300, "facet counts on the server": 300}
EVERY = 50  # searches between two looks at the memory
FILTERS = (
    "",
    "language = 'en'",
    "type = 'Sports' and aesthetic > 5",
    "duration_s < 5 and umt_score > 0.45",
    "language in ('de', 'fr', 'es') and aesthetic between 4 and 6",
    "type = 'Music' and language = 'sv'",
)
# When what is waited for comes: the time is the page's own, so no answer's way to this process is in it.
WATCH = """
(() => {
  const seen = (window.seen = { from: 0, card: 0, picture: 0, facets: 0, before: new Set() });
  const facets = () => document.querySelector("#vs-facets")?.innerText || "";
  seen.start = () => {
    seen.before = new Set([...document.querySelectorAll(".vs-card")].map((card) => card.dataset.clip));
    seen.counts = facets();
    seen.from = performance.now();
    seen.card = seen.picture = seen.facets = 0;
  };
  document.addEventListener("load", (event) => {
    const card = event.target.closest && event.target.closest(".vs-card");
    if (card && !seen.picture && !seen.before.has(card.dataset.clip)) seen.picture = performance.now();
  }, true);
  new MutationObserver(() => {
    const now = performance.now();
    if (!seen.card && [...document.querySelectorAll(".vs-card")].some((card) => !seen.before.has(card.dataset.clip))) seen.card = now;
    if (!seen.facets && document.querySelector(".vs-facet") && facets() !== seen.counts) seen.facets = now;
  }).observe(document, { childList: true, subtree: true });
})()
"""

Times = dict[str, list[float]]


def main() -> None:
    options = _options()
    index = open_index(options.index)
    machine = describe("gradio", "fastapi", "uvicorn", "numpy", "numba", "pyarrow", seed=options.seed)
    print(f"{machine}; vidsearch {_commit()}; {len(index):,} clips of {index.space.dim} dimensions; load before: {os.getloadavg()[0]:.2f}")
    sentences = _sentences(options.seed)
    report: dict[str, Any] = {"machine": machine, "rows": len(index), "seed": options.seed}
    times: Times = {}
    times["facet counts on the server"] = list(_server_facets(options.index, sentences, options.repeats))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        site = Site(options.index.resolve(), Path(folder))
        started = time.perf_counter()
        site.start()
        report["start_s"] = time.perf_counter() - started
        browser = launch(playwright, find_chromium() or sys.exit("no browser: install chromium, or set VIDSEARCH_CHROMIUM to one"))
        try:
            print(f"{browser.version} of chromium; the server was ready after {report['start_s']:.1f} s", flush=True)
            for what, took_ms in _measure_page(browser, site, sentences, options.repeats):
                times.setdefault(what, []).append(took_ms)
            report["memory"] = _memory(browser, site, sentences, options.searches)
        finally:
            browser.close()
            site.stop()
    report["times_ms"] = times
    print(_table(times), _memory_table(report["memory"]), sep="\n\n")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", type=Path)
    parser.add_argument("--repeats", type=int, default=20, help="of each measurement")
    parser.add_argument("--searches", type=int, default=500, help="between the first and the last look at the server's memory")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def _sentences(seed: int) -> Iterator[str]:
    """Yield questions such as the index has answers to, none twice."""
    rng = random.Random(seed)
    everything = [(who, what, whom, where) for who in WHO for what in WHAT for whom in WHO for where in WHERE]
    rng.shuffle(everything)
    return (" ".join(parts) for parts in everything)


def _server_facets(path: Path, sentences: Iterator[str], repeats: int) -> Iterator[float]:
    """Yield milliseconds that the counts of all facets take, of filters alone and of filters with a question."""
    with tempfile.TemporaryDirectory() as cache:
        explorer = Shelf(path, model=None, strict=False, media_root=None, cache=Path(cache)).explorer
        for number in range(repeats):
            state = State(where=FILTERS[number % len(FILTERS)], q=next(sentences) if number % 2 else "")
            explorer.ranker.page(state)  # the page has ranked it by then
            started = time.perf_counter()
            facets(explorer.index, state, explorer.ranker)
            yield 1000 * (time.perf_counter() - started)


def _measure_page(browser: Browser, site: Site, sentences: Iterator[str], repeats: int) -> Iterator[tuple[str, float]]:
    """Open the page anew each time: paint it, ask it, filter it; yield what took how many milliseconds."""
    for number in range(repeats + 1):
        page = _open(browser, site)
        yield ("first paint" if number else "first paint, as soon as the server answers"), _seen(page, "card")
        if number:
            yield "first paint, with a picture", _seen(page, "picture")
        settle(page)
        question = page.locator("#vs-q input, #vs-q textarea")
        question.fill(next(sentences))
        page.evaluate("seen.start()")
        question.press("Enter")
        yield "search to results", _seen(page, "card")
        yield "search to first thumbnail", _seen(page, "picture")
        settle(page)
        value = page.locator('[data-facet="type"] .vs-value, [data-facet="language"] .vs-value').nth(number % 8)
        page.evaluate("seen.start()")
        value.click()
        yield "facet counts in the page", _seen(page, "facets")
        settle(page)
        page.context.close()


def _open(browser: Browser, site: Site) -> Page:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.add_init_script(WATCH)
    page = context.new_page()
    page.goto(site.url, wait_until="commit")
    return page


def _seen(page: Page, what: str) -> float:
    """Return milliseconds from the beginning to when that was seen."""
    page.wait_for_function(f"() => window.seen && seen.{what}", timeout=60_000)
    return float(page.evaluate(f"seen.{what} - seen.from"))


def _memory(browser: Browser, site: Site, sentences: Iterator[str], searches: int) -> list[dict[str, float]]:
    """Search as a person does, posters and facets included, and return what the server holds every so often."""
    page = _open(browser, site)
    settle(page)
    question = page.locator("#vs-q input, #vs-q textarea")
    looks = []
    for number in range(searches + 1):
        if number % EVERY == 0:
            looks.append({"searches": number, **_held(site.pid)})
        question.fill(next(sentences))
        question.press("Enter")
        page.wait_for_function("() => document.body.classList.contains('vs-busy') || new URLSearchParams(location.search).get('q')")
        settle(page)
    page.context.close()
    return looks


def _held(pid: int) -> dict[str, float]:
    """Return megabytes of the server and its children: all that is resident, and that part of it which is no mapped file."""
    server = psutil.Process(pid)
    processes = [server, *server.children(recursive=True)]
    held = [process.memory_info() for process in processes]
    return {
        "resident_mb": sum(memory.rss for memory in held) / 1e6,
        "own_mb": sum(memory.rss - memory.shared for memory in held) / 1e6,
        "processes": len(processes),
    }


def _table(times: Times) -> str:
    lines = ["| | median, ms | worst, ms | of | aim, ms |", "|-|-|-|-|-|"]
    for name, values in times.items():
        aim = f"{AIMS_MS[name]}" if name in AIMS_MS else "–"
        lines.append(f"| {name} | {statistics.median(values):.0f} | {max(values):.0f} | {len(values)} | {aim} |")
    return "\n".join(lines)


def _memory_table(looks: list[dict[str, float]]) -> str:
    lines = [
        f"| {title} | {' | '.join(f'{look[key]:,.0f}' for look in looks)} |"
        for title, key in (("searches", "searches"), ("resident, MB", "resident_mb"), ("its own, MB", "own_mb"))
    ]
    return "\n".join([lines[0], "|-" * (len(looks) + 1) + "|", *lines[1:]])


if __name__ == "__main__":
    main()
