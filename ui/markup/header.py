"""The bar at the top and the cart's panel: the same for every state."""

from __future__ import annotations

from html import escape

from ui.asking.cart import FORMS
from ui.markup.parts import icon, plural
from ui.state import TABS


def header(name: str, rows: int, uuid: str) -> str:
    """Return the bar: whose clips these are, the tabs, the cart."""
    tabs = "".join(
        f'<button type="button" role="tab" data-tab-name="{tab}" aria-selected="{str(tab == TABS[0]).lower()}">{tab.capitalize()}</button>'
        for tab in TABS
    )
    return (
        f'<header class="vs-top" data-index="{escape(uuid)}"><span class="vs-logo">vidsearch</span>'
        f'<span class="vs-index" title="{escape(name)}"><b>{escape(name)}</b> {plural(rows, "clip")}</span>'
        f'<div class="vs-tabs" role="tablist" aria-label="Views">{tabs}</div>'
        '<span class="vs-space"></span>'
        '<button type="button" class="vs-action vs-only-small" data-page="facets">Filter</button>'
        '<button type="button" class="vs-action" data-page="theme" aria-label="Light or dark" title="Light or dark">◐</button>'
        '<button type="button" class="vs-action" data-page="cart">Cart <b data-cart-count>0</b></button></header>'
        '<p class="vs-problem" id="vs-told" role="alert" hidden><span></span>'
        '<button type="button" data-dismiss aria-label="Dismiss">×</button></p>'
        f'<input type="file" id="vs-file" accept="image/*,video/*" hidden aria-label="A picture or a short video">{_cart()}'
    )


def _cart() -> str:
    forms = "".join(f'<option value="{name}">{escape(label)}</option>' for name, label in FORMS.items())
    return (
        '<dialog id="vs-cart" aria-labelledby="vs-cart-name"><header><h2 id="vs-cart-name">Cart: <b data-cart-count>0</b> selected</h2>'
        f'<button type="button" class="vs-tool" data-page="closeCart" aria-label="Close">{icon("close")}</button></header>'
        '<ul id="vs-cart-list"></ul><p id="vs-cart-more" class="vs-hint"></p>'
        f'<p><label>Write as <select id="vs-form">{forms}</select></label></p>'
        '<div class="vs-actions"><button type="button" class="vs-action is-first" data-page="exportCart">Export the selected</button>'
        '<button type="button" class="vs-action" data-page="exportAll">Export all that match</button>'
        '<button type="button" class="vs-action" data-page="emptyCart">Empty the cart</button></div>'
        '<p class="vs-hint">All that match: <span id="vs-cart-all"></span></p><p id="vs-cart-said" role="status"></p></dialog>'
    )


def told(number: int, params: str, done: bool) -> str:
    """Return the hidden line by which page.js knows the state that the areas show."""
    return f'<i data-n="{number}" data-params="{escape(params)}" data-done="{int(done)}"></i>'
