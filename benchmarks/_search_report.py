"""What `search.py` measured, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

Run = dict[str, Any]


def cells_table(run: Run) -> str:
    """Return a row a cell: ours with plan and certificate, then each peer's time at equal recall and the ratio to ours."""
    peers = [name for name in run["contenders"] if name != "ours"]
    heads = ["filter", "rows pass", "recall@10", "promised", "held", "p50 ms", "p95 ms", "CPU p50", "filter ms", "plan"]
    heads += [head for name in peers for head in (f"{name} recall", "p50 ms", "p95 ms", "against ours")]
    rows, mine = [], {}
    for cell in run["cells"]:
        if cell["contender"] == "ours":
            mine = cell
            promised = f"{cell['recall_low']:.3f}–{cell['recall_high']:.3f}"
            rows.append([cell["cell"], f"{cell['matching']:,}", f"{cell['recall']:.4f}", promised, "yes" if cell["covered"] else "**no**"])
            rows[-1] += [f"{cell[name]:.3f}" for name in ("p50_ms", "p95_ms", "p50_cpu_ms", "select_ms")] + [_plan(cell)]
        else:
            ratio = cell["p50_cpu_ms"] / mine["p50_cpu_ms"]
            rows[-1] += [f"{cell['recall']:.3f}", f"{cell['p50_ms']:.3f}", f"{cell['p95_ms']:.3f}", f"{ratio:.2f}x"]
    ours = [cell for cell in run["cells"] if cell["contender"] == "ours"]
    reached, held = sum(cell["recall"] >= 0.95 for cell in ours), sum(cell["covered"] for cell in ours)
    summary = f"recall@10 of 0.95 in {reached} of {len(ours)} cells; the certificate's interval held in {held}"
    return f"{table(heads, rows)}\n{summary}; ratios are of median processor time\n"


def _plan(cell: Run) -> str:
    if cell["plan"] != "ivf":
        return str(cell["plan"])
    return f"{cell['lists']:.0f} of {cell['all_lists']:.0f} lists, {cell['codes']:,.0f} codes, {cell['scored']:,.0f} scored"


def contenders_table(run: Run) -> str:
    """Return what each contender costs beside time."""
    rows = []
    for name, costs in run["contenders"].items():
        bytes_a_row = [costs[part] / run["rows"] for part in ("resident_bytes", "own_bytes", "mapped_bytes", "disk_bytes")]
        rows.append(
            [
                name,
                f"{costs['build_cpu_s']:.0f}",
                f"{costs['first_open_ms']:.1f}",
                f"{costs['open_ms']:.1f}",
                *(f"{size:,.0f}" for size in bytes_a_row),
            ]
        )
    heads = ["", "build CPU s", "first open ms", "open ms", "resident B/row", "of its own", "of mapped files", "on disk B/row"]
    about = "Opening for the first time loads libraries. Resident is the growth since, index closed, to after all queries.\n"
    return f"{table(heads, rows)}\n{about}A build of 0 s found its index there.\n"


def scan_lines(run: Run) -> str:
    """Return the files' sizes, the batch and the bandwidth, a line each."""
    lines = []
    for what, text in (("disk", "on disk"), ("mapped", "resident through maps")):
        for contender, costs in run["contenders"].items():
            sizes = [item for item in costs["files"][what].items() if item[1] >= run["rows"] / 10]
            shown = ", ".join(f"{name} {size / run['rows']:,.1f}" for name, size in sizes)
            lines.append(f"{contender} {text}, B/row: {shown}")
    whole = next((cell for cell in run["cells"] if cell["contender"] == "ours" and cell["kind"] == "all"), None)
    if "bandwidth" in run and whole and whole["plan"] == "ivf":
        code_bytes = (
            sum(size for name, size in run["contenders"]["ours"]["files"]["disk"].items() if name.startswith("codes.")) / run["rows"]
        )
        scanned = whole["codes"] * code_bytes / (whole["p50_ms"] / 1e3) / 1e9
        whole["scan_gb_a_second"], best = scanned, run["bandwidth"]["gb_a_second"]
        lines.append(f"scan {scanned:.1f} GB/s of codes over the whole query, the core reads {best:.1f}: {scanned / best:.0%}")
    if "batch" in run:
        batch = run["batch"]
        at_once, alone = (batch["queries"] / batch[name] for name in ("at_once_s", "one_by_one_s"))
        same = f"{batch['same']:.4f} of the answers the same"
        lines.append(f"batch of {batch['queries']:,}: {at_once:,.0f} queries/s, one by one {alone:,.0f}: {at_once / alone:.2f}x; {same}")
    return "".join(f"{line}\n\n" for line in lines)


def growth_table(runs: Sequence[Run]) -> str:
    """Return how time and memory grow with rows, and the power each grows by."""
    names = [cell["cell"] for cell in runs[0]["cells"]]
    heads = ["rows", *(f"{name} ms" for name in names), "filter's part of num_none_0.1", "open ms", "own B/row", "build CPU s"]
    rows = []
    for run in runs:
        cells = {cell["cell"]: cell for cell in run["cells"] if cell["contender"] == "ours"}
        costs = run["contenders"]["ours"]
        ranged = cells.get("num_none_0.1")
        part = f"{ranged['select_ms'] / ranged['mean_ms']:.1%}" if ranged else ""
        rows.append([f"{run['rows']:,}", *(f"{cells[name]['p50_ms']:.2f}" for name in names), part])
        rows[-1] += [f"{costs['open_ms']:.1f}", f"{costs['own_bytes'] / run['rows']:,.0f}", f"{costs['build_cpu_s']:,.0f}"]
    fits = [
        fit([run["rows"] for run in runs], [cell["p50_ms"] for run in runs for cell in run["cells"] if cell["cell"] == name])
        for name in names
    ]
    lines = "".join(
        f"{name}: {at:.2f} ms at a million rows, grows with rows^{power:.2f}\n" for name, (at, power) in zip(names, fits, strict=True)
    )
    return f"{table(heads, rows)}\n{lines}"


def fit(rows: Sequence[int], ms: Sequence[float]) -> tuple[float, float]:
    """Return (milliseconds at a million rows, power) of the line through the points on logarithmic axes."""
    power, offset = np.polyfit(np.log(np.asarray(rows) / 1e6), np.log(ms), 1)
    return float(np.exp(offset)), float(power)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
