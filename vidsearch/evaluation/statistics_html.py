"""The figures of a data set as one HTML file: no script, no address of another machine, light and dark, the same on paper."""

from __future__ import annotations

import html
from collections.abc import Iterator

from vidsearch.evaluation.charts import Chart, charts, headlines, share
from vidsearch.evaluation.statistics import Statistics
from vidsearch.tables import visible

TICKS = 6  # edges written under a histogram at most

STYLE = """
:root { color-scheme: light dark; --ground: #fbfbfa; --card: #fff; --line: #e4e4e0; --text: #23231f; --quiet: #6d6d66; --bar: #3a7d6b; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #171816; --card: #1f201e; --line: #33352f; --text: #e9e9e4; --quiet: #9d9d94; --bar: #6fb8a2; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.5rem; max-width: 76rem; background: var(--ground); color: var(--text);
  font: 15px/1.45 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.5rem; font-weight: 600; }
h2 { margin: 0; font-size: 1rem; font-weight: 600; overflow-wrap: anywhere; }
p { margin: .2rem 0 0; color: var(--quiet); font-size: .87rem; overflow-wrap: anywhere; }
dl { display: flex; flex-wrap: wrap; gap: 1.2rem 2.6rem; margin: 1.8rem 0; }
dt { color: var(--quiet); font-size: .87rem; }
dd { margin: 0; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
dd small { display: block; color: var(--quiet); font-size: .87rem; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(22rem, 100%), 1fr)); gap: 1rem; }
section { padding: 1.1rem 1.2rem; background: var(--card); border: 1px solid var(--line); border-radius: 8px; break-inside: avoid; }
table { width: 100%; margin-top: .7rem; border-collapse: collapse; font-size: .87rem; font-variant-numeric: tabular-nums; }
th { max-width: 11rem; padding: .15rem .8rem .15rem 0; font-weight: 400; text-align: left; overflow-wrap: break-word; }
td { padding: .15rem 0 .15rem .8rem; text-align: right; white-space: nowrap; color: var(--quiet); }
td:nth-child(2) { width: 40%; padding-left: 0; }
i { display: block; min-width: 1px; height: .75rem; background: var(--bar); border-radius: 2px;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.columns { display: flex; align-items: flex-end; gap: 2px; height: 9rem; margin-top: 1rem; border-bottom: 1px solid var(--line); }
.columns span { flex: 1; display: flex; align-items: flex-end; height: 100%; }
.columns i { width: 100%; height: auto; border-radius: 2px 2px 0 0; }
.ticks { position: relative; height: 1.3rem; color: var(--quiet); font-size: .8rem; font-variant-numeric: tabular-nums; }
.ticks span { position: absolute; transform: translateX(-50%); }
.ticks span:first-child { transform: none; }
.ticks .last { transform: translateX(-100%); }
details { margin-top: .6rem; font-size: .87rem; }
summary { color: var(--quiet); cursor: pointer; }
footer { margin-top: 1.5rem; }
"""


def page(found: Statistics) -> str:
    """Return the report; what the data set says is text in it, never markup."""
    whole = "".join(f"<div><dt>{_text(a)}</dt><dd>{_text(b)}<small>{_text(c)}</small></dd></div>" for a, b, c in headlines(found))
    where = f"<p>Of the clips with <code>{_text(found.where)}</code></p>" if found.where is not None else ""
    skipped = "".join(f"<p>Not counted, because damaged: {_text(reason)}</p>" for reason in found.skipped)
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_text(found.index)}: what it consists of</title>\n<style>{STYLE}</style>\n</head>\n<body>",
            f"<header><h1>What the data set consists of</h1><p>{_text(found.index)}, version {found.version}</p>{where}{skipped}</header>",
            f"<dl>{whole}</dl>\n<main>",
            *(_chart(chart) for chart in charts(found)),
            "</main>\n<footer><p>Counted by vidsearch stats; every clip, no sample.</p></footer>\n</body>\n</html>\n",
        ]
    )


def _chart(chart: Chart) -> str:
    head = f"<h2>{_text(chart.title)}</h2><p>{_text(chart.note)}</p>" + (f"<p>{_text(chart.about)}</p>" if chart.about else "")
    if not chart.edges:
        return f"<section>{head}{_table(chart, bars=True)}</section>"
    numbers = f"<details><summary>numbers</summary>{_table(chart, bars=False)}</details>"
    return f"<section>{head}{_columns(chart)}{numbers}</section>"


def _table(chart: Chart, *, bars: bool) -> str:
    most = max(count for _, count in chart.bars) or 1
    return f"<table>{''.join(_rows(chart, most, bars=bars))}</table>"


def _rows(chart: Chart, most: int, *, bars: bool) -> Iterator[str]:
    for label, count in chart.bars:
        bar = f'<td><i style="width:{100 * count / most:.2f}%"></i></td>' if bars and count else "<td></td>" if bars else ""
        yield f'<tr><th scope="row">{_text(label)}</th>{bar}<td>{count:,}</td><td>{share(count, chart.clips)}</td></tr>'


def _columns(chart: Chart) -> str:
    most = max(count for _, count in chart.bars) or 1
    drawn = "".join(
        f'<span title="{_text(label)}: {count:,} ({share(count, chart.clips)})">'
        + (f'<i style="height:{100 * count / most:.2f}%"></i>' if count else "")
        + "</span>"
        for label, count in chart.bars
    )
    return f'<div class="columns">{drawn}</div><div class="ticks" aria-hidden="true">{"".join(_ticks(chart.edges))}</div>'


def _ticks(edges: tuple[str, ...]) -> Iterator[str]:
    """Yield some edges, each where its columns meet."""
    bins = len(edges) - 1
    for place in range(0, bins + 1, -(-bins // (TICKS - 1))):
        last = ' class="last"' if place == bins else ""
        yield f'<span{last} style="left:{100 * place / bins:.2f}%">{_text(edges[place])}</span>'


def _text(value: object) -> str:
    return html.escape(visible(value))
