"""What the page says about itself: banners, the line below the results, and what went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ui.asking.ranking import Ranking
from ui.markup.parts import button, plural
from ui.state import State

TOY = "demo-viclip"


def banners(*, skipped: Sequence[str], checked: int, absent: int, model: str) -> str:
    """Return what a person must know before trusting the page."""
    said = [_banner("is-bad", "Part of the index is damaged and left out.", line) for line in skipped[:3]]
    if absent:
        share = "None" if absent == checked else f"{checked - absent:,} of {checked:,} sampled"
        said.append(
            _banner("is-warn", "Videos are missing.", f"{share} of the video files are where the index says; start with --media-root.")
        )
    if model == TOY:
        said.append(_banner("is-note", "This is the toy demo model.", "It knows coloured shapes that move, and nothing else."))
    return "".join(said)


def _banner(kind: str, headline: str, text: str) -> str:
    return f'<p class="vs-banner {kind}" role="{"alert" if kind == "is-bad" else "note"}"><b>{escape(headline)}</b> {escape(text)}</p>'


def problem(text: str) -> str:
    """Return one line about what cannot be done."""
    dismiss = '<button type="button" data-dismiss aria-label="Dismiss">×</button>'
    return f'<p class="vs-problem" role="alert"><span>{escape(text)}</span>{dismiss}</p>'


def how(ranking: Ranking) -> str:
    """Return how the answer was found and how sure that is."""
    found, took = ranking.certificate, sum(ranking.timings_ms.values())
    if found is None:
        return f'<p class="vs-how">{plural(ranking.matching, "clip")} pass the filter · {took:.0f} ms</p>'
    parts = [f"{found.plan}: {found.reason}", f"{found.matching:,} of {plural(found.rows, 'clip')} pass the filter"]
    if found.all_lists:
        parts.append(f"{found.lists:,} of {found.all_lists:,} lists probed")
    if found.recall is not None and found.plan == "ivf":
        parts.append(f"recall {found.recall:.3f} ({found.recall_low:.3f}–{found.recall_high:.3f})")
    stages = ", ".join(f"{name} {ms:.0f}" for name, ms in ranking.timings_ms.items())
    return f'<p class="vs-how" title="{escape(stages)} ms">{escape(" · ".join(parts))} · {took:.0f} ms</p>'


def examples(sentences: Sequence[str], state: State) -> str:
    """Return sentences to try, as long as nothing is asked."""
    if state.asks or not sentences:
        return ""
    tries = "".join(button(text, {"kind": "search", "q": text}, classes="vs-example") for text in sentences)
    return f'<div class="vs-examples" role="group" aria-label="Sentences to try"><span>Try</span>{tries}</div>'
