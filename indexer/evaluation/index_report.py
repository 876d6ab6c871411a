"""What was measured of an index, as a report and as a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vidsearch.corpus import Corpus
from vidsearch.evaluation.recall import Measured, Suggestion
from vidsearch.evaluation.report import Cell, Report, Table
from vidsearch.extras import require

PLOTS = (".png", ".svg", ".pdf")
EXACT, EVERYTHING = "exact", "all scored"


def index_report(
    index: Corpus, found: Sequence[Measured], source: str, queries: int, suggestions: Sequence[Suggestion], *, seed: int
) -> Report:
    """Return the tables of recall and time, a table for each k, and what to ask with."""
    kinds = sorted({str(segment.info["index"]) for segment in index.segments})
    settings: dict[str, Cell] = {
        "index": str(index.root),
        "version": index.manifest.version,
        "clips": len(index),
        "kind": ", ".join(kinds),
        "dimensions": index.space.dim,
        "queries": f"{queries:,}: {source}",
        "seed": seed,
    }
    filters = list({id(one.filter): one.filter for one in found}.values())
    shares = tuple((chosen.share, chosen.rows, chosen.name) for chosen in filters)
    named = Table("Filters", ("passing", "clips", "filter"), shares, digits=4)
    tables = [named, *(_table(found, k) for k in sorted({one.k for one in found}))]
    notes = [str(suggestion) for suggestion in suggestions]
    if all(one.exact_share == 1 for one in found):
        notes = ["every answer scores all clips that pass: recall is 1 by construction, and only the time is measured"]
    notes += _broken_promises(index, found)
    notes.append("a recall's interval is at 95 %; times are of single queries, one after another, from this machine as busy as it was")
    notes += [f"left out: {reason}" for reason in index.skipped]
    return Report(f"Recall and time of {index.root.name}", settings, tuple(tables), tuple(notes))


def _broken_promises(index: Corpus, found: Sequence[Measured]) -> list[str]:
    """Return a sentence where what was found is surely less than what was asked for."""
    short = [one for one in found if one.wanted is not None and one.high < one.wanted]
    if not short:
        return []
    worst = min(short, key=lambda one: one.high - (one.wanted or 0))
    tuned = f", which was tuned with {index.calibration.source}" if index.calibration.source else ""
    told = f"--recall {worst.wanted:g} finds {worst.recall:.3f} of {worst.k} under {worst.filter.name}"
    return [f"these queries find less than they ask for in this index{tuned}: {told}"]


def _table(found: Sequence[Measured], k: int) -> Table:
    rows: list[tuple[Cell, ...]] = []
    always = all(one.exact_share == 1 for one in found)
    for one in found:
        if one.k != k or (always and one.wanted is not None):
            continue
        scored = one.wanted is not None and one.exact_share == 1
        if scored and rows and rows[-1][:2] == (_share(one), EVERYTHING):
            continue  # a higher recall is answered in the same way
        asked = EXACT if one.wanted is None else EVERYTHING if scored else f"{one.wanted:g}"
        between = "" if one.exact_share == 1 else f"{one.low:.3f}–{one.high:.3f}"
        rows.append((_share(one), asked, one.recall, between, one.times.median_ms, one.times.p95_ms))
    title = f"Recall@{k} and milliseconds by what --recall asks for"
    return Table(title, ("passing", "--recall", f"recall@{k}", "95 %", "median ms", "p95 ms"), tuple(rows), digits=3)


def _share(one: Measured) -> str:
    return f"{one.filter.share:.2g}"


def plot(found: Sequence[Measured], path: Path) -> None:
    """Draw recall against time, a line a filter and a panel a k; the exact search stands at recall 1."""
    figures = require("matplotlib.figure")
    ks = sorted({one.k for one in found})
    figure = figures.Figure(figsize=(5.6 * len(ks), 4.2), layout="constrained")
    for place, k in zip(figure.subplots(1, len(ks), squeeze=False)[0], ks, strict=True):
        filters = list({id(one.filter): one.filter for one in found}.values())
        for number, chosen in enumerate(filters):
            own = [one for one in found if one.k == k and one.filter is chosen]
            colour = f"C{number}"
            planned = [one for one in own if one.exact_share < 1]
            exact = next(one for one in own if one.wanted is None)
            label = f"{chosen.share:.2g}: {chosen.name}" if chosen.share < 1 else chosen.name
            place.errorbar(
                [one.times.median_ms for one in planned] or [exact.times.median_ms],
                [one.recall for one in planned] or [1.0],
                yerr=[[one.recall - one.low for one in planned] or [0], [one.high - one.recall for one in planned] or [0]],
                color=colour,
                marker="o" if planned else "s",
                markersize=4,
                linewidth=1.4,
                label=label,
            )
            if planned:
                place.plot([exact.times.median_ms], [1.0], marker="s", color=colour, markersize=5)
        place.set(xscale="log", xlabel="median ms a query", ylabel=f"recall@{k}", title=f"{k} nearest; squares: exact search")
        place.grid(axis="y", alpha=0.3)
        place.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False, fontsize=7, title="rows that pass", title_fontsize=7)
    figure.savefig(path, dpi=140)
