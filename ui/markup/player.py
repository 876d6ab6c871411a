"""The one player: the clip, its neighbours in its video, and all that is known of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from ui.markup.parts import button, clock, icon, poster_url
from ui.markup.results import fact_rows, percentile, source_times, thumbs
from ui.state import State
from vidsearch.playback.media import Playback
from vidsearch.results import Hit
from vidsearch.tables import percent

CONTROLS = (("back", "One frame back (,)"), ("play", "Play or pause (space)"), ("forward", "One frame on (.)"), ("loop", "Loop"))


def player(state: State, hit: Hit, playback: Playback, neighbours: Sequence[Hit], scored: bool) -> str:
    """Return the panel; page.js drives the video by its data attributes."""
    close = button("Close the player (Esc)", {"kind": "close"}, drawn="close", classes="vs-tool")
    caption = f'<p class="vs-said" dir="auto">{escape(hit.caption)}</p>' if hit.caption else '<p class="vs-said is-missing">No caption</p>'
    return (
        f'<section class="vs-player" aria-label="Player" data-playing="{escape(hit.clip_id)}">'
        f'<header><h2 class="vs-name" title="{escape(hit.video)}">{escape(hit.video)}</h2>{close}</header>'
        f"{_screen(hit, playback)}{caption}{_actions(state, hit)}{_neighbours(hit, neighbours)}{_facts(hit, scored)}</section>"
    )


def _screen(hit: Hit, playback: Playback) -> str:
    if playback.why:
        return f'<div class="vs-screen is-missing" role="status"><p>{escape(playback.why)}</p></div>'
    source = f"{playback.url}#t={playback.start_s:.3f},{playback.end_s:.3f}"
    buttons = "".join(
        f'<button type="button" class="vs-control" data-control="{name}" aria-label="{label}" title="{label}"'
        f"{' aria-pressed=true' if name == 'loop' else ''}>{icon(name)}{icon('pause') if name == 'play' else ''}</button>"
        for name, label in CONTROLS
    )
    return (
        f'<div class="vs-screen"><video src="{escape(source)}" poster="{poster_url(hit.clip_id, 640)}" muted playsinline preload="auto"'
        f' data-start="{playback.start_s:.4f}" data-end="{playback.end_s:.4f}" data-fps="{playback.fps:.4f}"></video></div>'
        f'<div class="vs-controls">{buttons}'
        f'<input type="range" class="vs-seek" aria-label="Position in the clip" min="0" max="1000" value="0">'
        f'<span class="vs-clock"><span data-now>0:00</span> / {clock(playback.end_s - playback.start_s)}</span>'
        '<button type="button" class="vs-control" data-control="sound" aria-label="Sound" aria-pressed="false" title="Sound">♪'
        "</button></div>"
    )


def _actions(state: State, hit: Hit) -> str:
    select = f'<button type="button" class="vs-action vs-pick-long" data-pick="{escape(hit.clip_id)}" aria-pressed="false">Select</button>'
    search = button("Search this caption", {"kind": "caption", "id": hit.clip_id}, classes="vs-action") if hit.caption else ""
    more = button("More like this", {"kind": "like", "id": hit.clip_id}, classes="vs-action is-first")
    return f'<div class="vs-actions">{more}{search}{select}{thumbs(state, hit.clip_id)}{_source(hit)}</div>'


def _source(hit: Hit) -> str:
    name = hit.metadata.get("youtube_id")
    if not name:
        return ""
    url = f"https://www.youtube.com/watch?v={quote(str(name), safe='')}&t={int(source_times(hit)[0])}s"
    return (
        f'<a class="vs-tool" href="{escape(url)}" target="_blank" rel="noopener noreferrer" '
        f'aria-label="Open the source at this second" title="Open the source at this second">{icon("out")}</a>'
    )


def _neighbours(hit: Hit, neighbours: Sequence[Hit]) -> str:
    if len(neighbours) < 2:
        return ""
    shown = []
    for near in neighbours:
        start = source_times(near)[0]
        label = f"Clip at {clock(start)}: {near.caption or 'no caption'}"
        current = ' aria-current="true"' if near.clip_id == hit.clip_id else ""
        action = escape(json.dumps({"kind": "open", "id": near.clip_id}))
        shown.append(
            f'<button type="button" class="vs-near"{current} aria-label="{escape(label)}" title="{escape(label)}" data-act="{action}">'
            f'<img src="{poster_url(near.clip_id, 160)}" alt="" loading="lazy"><span>{clock(start)}</span></button>'
        )
    return f'<h3>In the same video</h3><div class="vs-strip">{"".join(shown)}</div>'


def _facts(hit: Hit, scored: bool) -> str:
    values: dict[str, Any] = {"score": hit.score} if scored else {}
    if hit.percentile is not None:
        values["rank"] = percentile(hit.percentile)
    if hit.probability is not None:
        values["likely"] = percent(hit.probability)
    core = {"clip_id": hit.clip_id, "video": hit.video, "start_s": hit.start_s, "end_s": hit.end_s}
    return f'<h3>All that is known</h3><table class="vs-table"><tbody>{fact_rows({**values, **core, **hit.metadata})}</tbody></table>'
