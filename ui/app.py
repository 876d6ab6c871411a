"""The page as Gradio lays it out and wires it; what it shows is in view.py, and how it behaves in assets/page.js."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import gradio as gr

from ui.explorer import Shelf
from ui.handlers import Action
from ui.markup import notes
from ui.markup.header import header, told
from ui.state import MODES, State
from ui.view import NAMES, Areas, step
from vidsearch.errors import VidsearchError

BY_SCORE = "score"
FIELDS = ("q", "nots", "mode", "where", "sort", "group", "pull")  # what a person types or sets, shown by Gradio's own inputs
CACHE_S = 3600

log = logging.getLogger(__name__)


def build_page(shelf: Shelf) -> Any:
    """Return the page of an index, a `gr.Blocks`."""
    with gr.Blocks(title="vidsearch", analytics_enabled=False, fill_width=True, delete_cache=(CACHE_S, CACHE_S)) as page:
        shown: dict[str, Any] = {}
        index = shelf.explorer.index
        gr.HTML(
            header(index.root.parent.name if index.root.name == "index" else index.root.name, len(index), shelf.explorer.uuid),
            elem_id="vs-header",
            apply_default_css=False,
            js_on_load=_once_there("vs.header()"),
        )
        shown["problem"] = _area("problem")
        shown["banners"] = _area("banners")
        with gr.Row(elem_id="vs-body"):
            with gr.Column(elem_id="vs-side", scale=0):
                shown["where"] = gr.Textbox(
                    label="Filter",
                    placeholder="language = 'en' and aesthetic > 5",
                    elem_id="vs-where",
                    lines=1,
                    max_lines=4,
                    submit_btn=False,
                )
                shown["facets"] = _area("facets")
            with gr.Column(elem_id="vs-main", scale=1):
                _search_bar(shown)
                shown["examples"] = _area("examples")
                shown["chips"] = _area("chips")
                _results(shown, [name for name in index.schema.names if index.segments])
                for tab in ("dataset", "map"):
                    gr.HTML(f'<div id="vs-{tab}-place"></div>', elem_id=f"vs-tab-{tab}", apply_default_css=False)
            shown["player"] = _area("player", js_on_load="watch('value', () => vs.player())")
        _wire(shelf, shown, page)
    page.queue(max_size=64, default_concurrency_limit=4, api_open=False)
    return page


def _once_there(call: str) -> str:
    """Return a script that waits for page.js, which Gradio loads beside its own: on a reload its own are there first."""
    return f"(function go() {{ window.vs ? {call} : setTimeout(go, 10) }})()"


def _area(name: str, *, js_on_load: str | None = None) -> gr.HTML:
    return gr.HTML("", elem_id=f"vs-{name}", apply_default_css=False, js_on_load=js_on_load)


def _search_bar(shown: dict[str, Any]) -> None:
    with gr.Row(elem_id="vs-bar"):
        shown["q"] = gr.Textbox(
            label="What the clip shows", placeholder="a dog surfing", elem_id="vs-q", lines=1, max_lines=1, scale=5, min_width=180
        )
        shown["nots"] = gr.Textbox(
            label="But not", placeholder="text on screen; people", elem_id="vs-nots", lines=1, max_lines=1, scale=2, min_width=120
        )
        shown["mode"] = gr.Dropdown(list(MODES), value=MODES[0], label="By", elem_id="vs-mode", filterable=False, scale=0, min_width=120)
        drop = gr.Button("Image or video", elem_id="vs-drop", scale=0, min_width=120)
        ask = gr.Button("Search", variant="primary", elem_id="vs-ask", scale=0, min_width=96)
    drop.click(None, None, None, js="() => { document.getElementById('vs-file').click() }")
    asked = [shown["q"], shown["nots"], shown["mode"]]
    searching = "(q, nots, mode) => { vs.act({kind: 'search', q, nots, mode}) }"
    for event in (shown["q"].submit, shown["nots"].submit, shown["mode"].input, ask.click):
        event(None, asked, None, js=searching)
    shown["where"].submit(None, shown["where"], None, js="(sql) => { vs.act({kind: 'where', sql}) }")


def _results(shown: dict[str, Any], columns: list[str]) -> None:
    orders = [(BY_SCORE, ""), *((f"{name} {arrow}", f"{name}{way}") for name in columns for arrow, way in (("↓", " desc"), ("↑", "")))]
    with gr.Column(elem_id="vs-tab-search"):
        with gr.Row(elem_id="vs-order"):
            shown["headline"] = _area("headline")
            shown["pull"] = gr.Slider(0, 1, 0.5, step=0.05, label="Thumbs count", elem_id="vs-pull", visible=False, scale=0, min_width=180)
            shown["group"] = gr.Checkbox(label="One per video", elem_id="vs-group", scale=0, min_width=130)
            shown["sort"] = gr.Dropdown(orders, value="", label="Sort by", elem_id="vs-sort", scale=0, min_width=170)
        shown["results"] = _area("results", js_on_load="watch('value', () => vs.results())")
        shown["how"] = _area("how")
    shown["sort"].input(None, shown["sort"], None, js="(by) => { vs.act({kind: 'sort', by}) }")
    shown["group"].input(None, shown["group"], None, js="(on) => { vs.act({kind: 'group', on}) }")
    shown["pull"].release(None, shown["pull"], None, js="(value) => { vs.act({kind: 'pull', value}) }")


def _wire(shelf: Shelf, shown: dict[str, Any], page: gr.Blocks) -> None:
    line = gr.HTML("", elem_id="vs-line", visible="hidden", apply_default_css=False, js_on_load="watch('value', () => vs.answer(element))")
    bus = gr.HTML("", elem_id="vs-bus", visible="hidden", apply_default_css=False, js_on_load=_once_there("vs.ready(trigger)"))
    order = [*NAMES, *FIELDS]

    def answer(event: gr.EventData, request: gr.Request) -> Iterator[list[Any]]:
        _forget(page, request)
        for said, areas, fields in _answers(shelf, event._data):
            updates = areas | fields
            yield [*(updates.get(name, gr.skip()) for name in order), said]

    bus.click(
        answer, None, [*(shown[name] for name in order), line], show_progress="hidden", trigger_mode="multiple", api_visibility="private"
    )


def _forget(page: gr.Blocks, request: gr.Request) -> None:
    """Let go of what Gradio keeps of a session's earlier answers: a copy of each output that was skipped, with an id of its own.

    A page sends one action at a time, so none is being answered now.
    """
    if request.request is None or request.session_hash is None:
        return
    held = request.request.app.state_holder[request.session_hash]
    for kept in (held.blocks_config.blocks, held.config_values):
        for number in kept.keys() - page.blocks.keys():
            del kept[number]


def _answers(shelf: Shelf, sent: Any) -> Iterator[tuple[str, Areas, dict[str, Any]]]:
    """Yield what changes: the hidden line, areas, inputs. Whatever goes wrong is one line to the person, and the rest in the log."""
    number, before = int(sent["n"]), State()
    try:
        whole = bool(sent["whole"])
        before = State() if whole else State.from_params(str(sent["params"]))
        action: Action = sent["action"]
        explorer = shelf.renew() if whole else shelf.explorer
        fields = _fields(None if whole else before, before)
        after = before
        for after, areas in step(explorer, before, action, whole=whole):
            yield told(number, after.to_params(), False), areas, fields | _fields(None if whole else before, after)
            fields = {}
        yield told(number, after.to_params(), True), {}, {}
    except VidsearchError as error:
        yield told(number, before.to_params(), True), {"problem": notes.problem(str(error))}, {}
    except Exception:  # the page goes on, and no trace leaves the server
        log.exception("the page could not be drawn")
        text = "Something went wrong here; the server's log says more. The page is as it was."
        yield told(number, before.to_params(), True), {"problem": notes.problem(text)}, {}


def _fields(before: State | None, after: State) -> dict[str, Any]:
    """Return the inputs that a state sets otherwise than the one before."""
    values = _values(after)
    if before is not None:
        known = _values(before)
        values = {name: value for name, value in values.items() if value != known[name]}
    thumbs = bool(after.up or after.down)
    if "pull" in values or before is None or thumbs != bool(before.up or before.down):
        values["pull"] = gr.Slider(value=after.pull, visible=thumbs)
    return values


def _values(state: State) -> dict[str, Any]:
    return {name: "; ".join(state.nots) if name == "nots" else getattr(state, name) for name in FIELDS}
