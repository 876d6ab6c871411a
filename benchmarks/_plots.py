"""Draw what `search.py` measured: `python benchmarks/_plots.py docs/search-benchmark.png search-200k.json growth.json`.

Left: milliseconds against the share of rows that pass, ours and the peers at equal recall, the slowest of all kinds of filter at each share
as a line, the others as dots. Right, where a file holds several sizes: growth with rows and the fitted power.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from _search_report import fit

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

STYLES = {"ours": ("vidsearch", "#0b6e4f"), "qdrant": ("qdrant-edge", "#c8553d"), "lancedb": ("LanceDB", "#7a7a7a")}
GREYS = ("#0b6e4f", "#3a9d7c", "#8cc7b0", "#4a6fa5", "#8aa6cf", "#b58db6", "#c9b458")
FILTER_NAMES = {
    "all": "no filter",
    "cat_none_0.3": "a value, 30 %",
    "cat_none_0.1": "a value, 10 %",
    "num_none_0.1": "a range, 10 %",
    "cat_neg_0.1": "a value, 10 %, far from the query",
    "cat_none_0.01": "a value, 1 %",
    "num_none_0.001": "a range, 0.1 %",
}

Run = dict[str, Any]


def main() -> None:
    target, *sources = (Path(name) for name in sys.argv[1:])
    reports = [json.loads(source.read_text()) for source in sources]
    single = [report for report in reports if len(report["runs"]) == 1]
    grown = [report["runs"] for report in reports if len(report["runs"]) > 1]
    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "font.family": "DejaVu Sans"})
    figure, axes = plt.subplots(1, len(single) + len(grown), figsize=(6.4 * (len(single) + len(grown)), 4.6), squeeze=False)
    for report, place in zip(single, axes[0], strict=False):
        draw_selectivity(place, report["runs"][0], report)
    for runs, place in zip(grown, axes[0][len(single) :], strict=False):
        draw_growth(place, runs)
    figure.text(0.01, 0.005, reports[0]["machine"].replace("\n", " · "), fontsize=6, color="#777777")
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    figure.savefig(target, dpi=130)


def draw_selectivity(place: Axes, run: Run, report: dict[str, Any]) -> None:
    """Draw time against the share of rows that pass."""
    for name in run["contenders"]:
        label, colour = STYLES[name]
        cells = [cell for cell in run["cells"] if cell["contender"] == name]
        shares = sorted({cell["share"] for cell in cells})
        slowest = [max(cell["p50_ms"] for cell in cells if cell["share"] == share) for share in shares]
        place.plot(np.asarray(shares) * 100, slowest, color=colour, linewidth=2)
        place.scatter(
            [cell["share"] * 100 for cell in cells], [cell["p50_ms"] for cell in cells], color=colour, s=12, alpha=0.5, linewidths=0
        )
        place.annotate(label, (shares[-1] * 100, slowest[-1]), xytext=(6, 0), textcoords="offset points", color=colour, va="center")
    recall = min(cell["recall"] for cell in run["cells"] if cell["contender"] == "ours")
    place.set(xscale="log", yscale="log", xlabel="rows that pass the filter, %", ylabel="median ms a query")
    place.set_title(
        f"{run['rows']:,} x 768, one core; recall@10 ≥ {np.floor(recall * 100) / 100:.2f}, peers {report['recall']:g}",
        loc="left",
        fontsize=11,
    )
    _calm(place, right=2.2)


def draw_growth(place: Axes, runs: list[Run]) -> None:
    """Draw time against rows, a line a filter."""
    rows = [run["rows"] for run in runs]
    names = [cell["cell"] for cell in runs[0]["cells"] if cell["contender"] == "ours"]
    for name, colour in zip(names, GREYS, strict=False):
        ms = [next(cell["p50_ms"] for cell in run["cells"] if (cell["cell"], cell["contender"]) == (name, "ours")) for run in runs]
        at_million, power = fit(rows, ms)
        place.scatter(rows, ms, color=colour, s=16)
        place.plot(
            rows,
            at_million * (np.asarray(rows) / 1e6) ** power,
            color=colour,
            linewidth=1.6,
            label=f"{FILTER_NAMES.get(name, name)}: rows^{power:.2f}",
        )
    place.set(xscale="log", yscale="log", xlabel="rows", ylabel="median ms a query")
    place.set_title("growth", loc="left", fontsize=11)
    place.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    _calm(place, right=1.2)
    place.set_xticks(rows, [f"{count / 1e6:g} M" for count in rows])


def _calm(place: Axes, *, right: float) -> None:
    left, end = place.get_xlim()
    place.set_xlim(left, end * right)  # room for the names at the lines' ends
    place.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    place.set_axisbelow(True)
    place.tick_params(which="both", length=0)
    for axis in (place.xaxis, place.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        axis.set_minor_formatter(NullFormatter())


if __name__ == "__main__":
    main()
