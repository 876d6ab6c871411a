"""Small parts that several areas are made of."""

from __future__ import annotations

import json
from html import escape
from typing import Any
from urllib.parse import quote

ICONS = {
    "play": "M8 5v14l11-7z",
    "pause": "M7 5h4v14H7zM13 5h4v14h-4z",
    "back": "M16 5v14l-9-7zM5 5h2v14H5z",
    "forward": "M8 5v14l9-7zM17 5h2v14h-2z",
    "loop": "M7 7h9V4l5 4-5 4V9H7v4H5V9a2 2 0 0 1 2-2zm10 10H8v3l-5-4 5-4v3h9v-4h2v4a2 2 0 0 1-2 2z",
    "close": "M6.4 5 12 10.6 17.6 5 19 6.4 13.4 12l5.6 5.6-1.4 1.4-5.6-5.6L6.4 19 5 17.6l5.6-5.6L5 6.4z",
    "check": "M9.5 17.2 4.8 12.5l1.4-1.4 3.3 3.3 8.3-8.3 1.4 1.4z",
    "plus": "M11 5h2v6h6v2h-6v6h-2v-6H5v-2h6z",
    "like": "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zm0 4a5 5 0 1 1 0 10 5 5 0 0 1 0-10z",
    "up": "M9 21V9l5-7 1.6 1.2a2 2 0 0 1 .7 2L15.500 9H20a2 2 0 0 1 2 2.300l-1.200 8A2 2 0 0 1 18.800 21zM3 9h4v12H3z",
    "down": "M15 3v12l-5 7-1.600-1.200a2 2 0 0 1-.7-2L8.500 15H4a2 2 0 0 1-2-2.300l1.200-8A2 2 0 0 1 5.200 3zM17 3h4v12h-4z",
    "out": "M14 4h6v6h-2V7.400l-7.300 7.300-1.400-1.400L16.600 6H14zM5 6h6v2H7v9h9v-4h2v6H5z",
}


def icon(name: str) -> str:
    """Return a small drawing that says nothing to a screen reader; the control around it is labelled."""
    return f'<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d="{ICONS[name]}"/></svg>'


def button(
    label: str,
    action: dict[str, Any],
    *,
    drawn: str = "",
    content: str = "",
    classes: str = "",
    pressed: bool | None = None,
    title: str = "",
) -> str:
    """Return a button that sends an action.

    Args:
        label: its text; with a drawing, what a screen reader says.
        action: see `handlers.act`.
        drawn: one of ICONS, in place of the text.
        content: HTML in place of the text, which holds it.
        classes, pressed, title: attributes.
    """
    attributes = f' class="{classes}" data-act="{escape(json.dumps(action))}"'
    if pressed is not None:
        attributes += f' aria-pressed="{str(pressed).lower()}"'
    if drawn:
        attributes += f' aria-label="{escape(label)}"'
    if title or drawn:
        attributes += f' title="{escape(title or label)}"'
    return f'<button type="button"{attributes}>{icon(drawn) if drawn else content or escape(label)}</button>'


def poster_url(clip_id: str, width: int = 320) -> str:
    return f"/media/poster/{quote(clip_id, safe='')}?w={width}"


def clock(seconds: float) -> str:
    """Return 0:03.2 or 1:02:03 for seconds; a tenth only where it says something."""
    tenths = round(seconds * 10)
    whole, tenth = divmod(tenths, 10)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    text = f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
    return f"{text}.{tenth}" if tenth else text


def number(value: Any) -> str:
    """Return a value as a person reads it."""
    if isinstance(value, bool) or value is None:
        return {None: "–", True: "yes", False: "no"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def plural(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
