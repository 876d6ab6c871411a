"""The grid of results and what stands above and below it."""

from __future__ import annotations

from html import escape
from typing import Any

from ui.asking.ranking import Card, Page
from ui.markup.parts import button, clock, icon, number, plural, poster_url
from ui.state import PAGE_SIZE, State
from vidsearch.results import Confidence, Hit, in_hundred
from vidsearch.tables import percent

SAID = ("language", "type")  # of a clip, below its caption
NEARBY_PAGES = 2


def results(state: State, page: Page) -> str:
    """Return the cards of a page, or why there are none."""
    if not page.cards:
        return _nothing(state, page)
    cards = "".join(_card(state, card, scored=page.ranking.scores is not None) for card in page.cards)
    return f'{_verdict(page)}<div class="vs-grid" role="list" aria-label="Results">{cards}</div>{_pager(state, page)}'


def headline(state: State, page: Page) -> str:
    """Return how many there are, in words."""
    found = page.ranking.matching
    if not found:
        return "No clip"
    reached = len(page.ranking.rows)
    part = f"the {'best' if state.asks else 'first'} {reached:,} of " if reached < found else ""
    clips = f"{part}<b>{plural(found, 'clip')}</b>"
    return f"<b>{plural(page.shown, 'video')}</b> in {clips}" if state.group else clips


def _verdict(page: Page) -> str:
    sure = page.ranking.confidence
    if sure is None or sure.confident:
        return ""
    return (
        f'<p class="vs-doubt" role="status"><b>No confident match.</b> The best clip scores {sure.best:.3f}, {_chance(sure)}. '
        "What follows is the nearest there is.</p>"
    )


def _chance(sure: Confidence) -> str:
    if sure.basis == "background":
        return f"more than words thrown together at random do in {in_hundred(sure.probability)} cases"
    return f"which is right in about {in_hundred(sure.probability)} such cases here"


def _card(state: State, card: Card, *, scored: bool) -> str:
    hit = card.hit
    caption = hit.caption or "No caption"
    opening = button(f"Open: {caption:.120}", {"kind": "open", "id": hit.clip_id}, classes="vs-open", drawn="play", title="Play")
    return (
        f'<article class="vs-card{" is-open" if hit.clip_id == state.clip else ""}" role="listitem" data-clip="{escape(hit.clip_id)}">'
        f'<div class="vs-shot"><img src="{poster_url(hit.clip_id)}" alt="" loading="lazy" decoding="async">{opening}'
        f'<button type="button" class="vs-pick" data-pick="{escape(hit.clip_id)}" aria-pressed="false" aria-label="Select this clip"'
        f' title="Select (s)">{icon("check")}</button>'
        f'<span class="vs-time">{clock(hit.end_s - hit.start_s)}</span></div>'
        f'<p class="vs-caption{"" if hit.caption else " is-missing"}" dir="auto" title="{escape(caption)}">{escape(caption)}</p>'
        f'<div class="vs-facts">{_score(card) if scored else ""}{_said(hit)}</div>'
        f'<div class="vs-more">{_where(hit)}{_tools(state, card)}</div></article>'
    )


def _score(card: Card) -> str:
    rank = (
        ""
        if card.percentile is None
        else f'<span class="vs-rank" title="Share of all clips that score lower">{percentile(card.percentile)}</span>'
    )
    right = (
        ""
        if card.probability is None
        else f'<span class="vs-tag" title="How likely it is what is asked for">{percent(card.probability)} likely</span>'
    )
    return f'<span class="vs-score" title="How near the clip is to the question">{card.hit.score:.3f}</span>{rank}{right}'


def percentile(share: float) -> str:
    """Return "top 0.4 %" for a share of 0.996 that scores lower."""
    above = 100 * (1 - share)
    return f"top {above:.2g} %" if above < 1 else f"top {above:.0f} %"


def _said(hit: Hit) -> str:
    tags = "".join(
        f'<span class="vs-tag" title="{name}">{escape(str(hit.metadata[name]))}</span>' for name in SAID if hit.metadata.get(name)
    )
    beauty = hit.metadata.get("aesthetic")
    return tags + ("" if beauty is None else f'<span class="vs-tag" title="aesthetic score">★ {beauty:.1f}</span>')


def _where(hit: Hit) -> str:
    source = hit.metadata.get("youtube_id") or hit.video
    start, end = source_times(hit)
    return f'<span class="vs-place" title="{escape(str(hit.video))}">{escape(str(source))} · {clock(start)}–{clock(end)}</span>'


def source_times(hit: Hit) -> tuple[float, float]:
    """Return when in its source video a clip starts and ends, seconds."""
    start, end = (hit.metadata.get(name) for name in ("source_start_s", "source_end_s"))
    return (hit.start_s if start is None else float(start), hit.end_s if end is None else float(end))


def _tools(state: State, card: Card) -> str:
    clip = card.hit.clip_id
    members = f'<span class="vs-members" title="Clips of this video among the results">×{card.members}</span>' if card.members > 1 else ""
    return members + like_button(clip) + thumbs(state, clip)


def like_button(clip: str) -> str:
    return button("More like this", {"kind": "like", "id": clip}, drawn="like", classes="vs-tool")


def thumbs(state: State, clip: str) -> str:
    return "".join(
        button(label, {"kind": "thumb", "id": clip, "way": way}, drawn=way, classes="vs-tool", pressed=clip in chosen)
        for way, label, chosen in (("up", "Good: more of this", state.up), ("down", "Bad: less of this", state.down))
    )


def _pager(state: State, page: Page) -> str:
    if page.pages < 2:
        return ""
    near = range(max(1, state.page - NEARBY_PAGES), min(page.pages, state.page + NEARBY_PAGES) + 1)
    shown = sorted({1, *near, page.pages})
    items, last = [], 0
    for place in shown:
        if place > last + 1:
            items.append('<span class="vs-gap">…</span>')
        items.append(_page_button(place, state.page))
        last = place
    older, newer = (
        _step(label, place) for label, place in (("Previous", state.page - 1), ("Next", state.page + 1 if state.page < page.pages else 0))
    )
    first = (state.page - 1) * PAGE_SIZE
    said = f'<span class="vs-range">{first + 1:,}–{first + len(page.cards):,} of {page.shown:,}</span>'
    return f'<nav class="vs-pager" aria-label="Pages">{older}{"".join(items)}{newer}{said}</nav>'


def _page_button(place: int, current: int) -> str:
    if place == current:
        return f'<span class="vs-page is-current" aria-current="page">{place}</span>'
    return button(str(place), {"kind": "page", "page": place}, classes="vs-page")


def _step(label: str, place: int) -> str:
    return button(label, {"kind": "page", "page": place}, classes="vs-page") if place else ""


def _nothing(state: State, page: Page) -> str:
    parts = "".join(f"<li><code>{escape(part)}</code> alone: {plural(rows, 'clip')}</li>" for part, rows in page.ranking.parts)
    why = f"<p>No clip meets all parts of the filter:</p><ul>{parts}</ul>" if parts else f"<p>{escape(_reason(state, page))}</p>"
    offer = button("Remove the filter", {"kind": "clear"}, classes="vs-action") if state.where or state.lasso else ""
    return f'<div class="vs-empty" role="status"><h2>Nothing to show</h2>{why}{offer}</div>'


def _reason(state: State, page: Page) -> str:
    if state.page > 1:
        return f"There is no page {state.page}: {plural(page.pages, 'page')} in all."
    if state.lasso:
        return "No clip of the index lies in this region of the map."
    return "No clip was found."


def fact_rows(values: dict[str, Any]) -> str:
    """Return a clip's values as rows of a table."""
    return "".join(f"<tr><th scope='row'>{escape(name)}</th><td>{escape(number(value))}</td></tr>" for name, value in values.items())
