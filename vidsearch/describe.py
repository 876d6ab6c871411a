"""What is in an index: `vidsearch info`."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.table import Table

from vidsearch.corpus import Corpus
from vidsearch.engine import Index
from vidsearch.errors import IndexCorruptError
from vidsearch.storage.ledger import Ledger
from vidsearch.storage.rewrite import made_by_column
from vidsearch.storage.template import read_about
from vidsearch.tables import console, plain

COMMON_VALUES = 6
DRIFTED = 1.15  # times what codes missed at their training
OUTGROWN = 8  # times the clips there were at the training: the lists are then too long by as much
FEW_VALUES = 1000  # a text column with more distinct values than this gets a count, not a list


def describe(index: Index) -> dict[str, Any]:
    """Return an index's rows, segments, model, bytes and columns with their ranges and common values, ready for JSON."""
    size = index.size_bytes
    kinds = Counter(str(segment.info["index"]) for segment in index.segments)
    quarantine: Counter[str] = Counter()
    for segment in index.segments:
        quarantine.update(segment.quarantine()["reason"].to_pylist())
    return {
        "index": str(index.root),
        "version": index.manifest.version,
        "rows": len(index),
        "segments": len(index.segments),
        "search": ", ".join(f"{number} × {kind}" for kind, number in sorted(kinds.items())),
        "recall": _recall(index),
        "deleted": index.slots - len(index),
        "training": training(index),
        "ledger": _ledger(index),
        "model": index.space.model,
        "encoder": index.space.encoder,
        "preset": index.space.preset.name,
        "dim": index.space.dim,
        "space": index.space.id,
        "size_bytes": size,
        "bytes_per_clip": round(size / len(index)) if len(index) else 0,
        "quarantine": dict(quarantine.most_common()),
        "skipped": list(index.skipped),
        "computed": made_by_column(index.manifest),
        "columns": [_column(index, name) for name in (index.schema.names if index.segments else [])],
    }


def training(index: Corpus) -> dict[str, Any] | None:
    """Return how well the codes fit the clips there are: what they miss of the vectors, at the training and now, and whether to train anew.

    None where there are no codes, or their kind does not say.
    """
    if index.manifest.template is None:
        return None
    try:
        about = read_about(index.root, index.manifest.template)
    except IndexCorruptError:
        return None
    errors = [
        (segment.rows, float(segment.info["quantization_error"])) for segment in index.segments if segment.info.get("quantization_error")
    ]
    then, rows = float(about.get("quantization_error") or 0.0), int(about.get("rows") or 0)
    if not errors or not then:
        return None
    now = sum(count * error for count, error in errors) / sum(count for count, _ in errors)
    drifted, outgrown = now > DRIFTED * then, len(index) > OUTGROWN * rows
    reason = f"the codes miss {now:.1%} of the vectors, {then:.1%} when they were trained" if drifted else ""
    if outgrown:
        reason = f"{len(index):,} clips share lists that were made for {rows:,}"
    return {"rows": rows, "error": then, "error_now": round(now, 6), "retrain": drifted or outgrown, "reason": reason}


def _ledger(index: Index) -> dict[str, int] | None:
    """Return the books of the builds: planned = done + pending; None where none kept any."""
    books = Ledger.from_settings(index.manifest.settings)
    if books is None:
        return None
    return {"planned": books.planned.clips, "done": books.done.clips, "pending": books.all_pending.clips}


def _recall(index: Index) -> dict[str, Any] | None:
    """Return what the default settings were measured to give without a filter; None where nothing was measured."""
    settings = index.calibration.settings(1.0, rows=len(index), k=10, recall=0.95) if index.calibration.points else None
    if settings is None:
        return None
    plain = settings.plain
    measured = {"queries": index.calibration.queries, "source": index.calibration.source}
    return {"recall": plain.recall, "low": plain.low, "high": plain.high, "codes_compared": plain.share, "scored": plain.depth, **measured}


def _column(index: Index, name: str) -> dict[str, Any]:
    tables = zip(index.read_columns([name]), index.alive, strict=True)
    live = [table if alive.everything else table.filter(pa.array(alive.mask)) for table, alive in tables]
    column = pa.chunked_array([chunk for table in live for chunk in table[name].chunks], index.schema.field(name).type)
    described: dict[str, Any] = {"name": name, "type": str(column.type), "nulls": column.null_count}
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        ends = pc.min_max(column).as_py()
        return {**described, "min": ends["min"], "max": ends["max"], "mean": pc.mean(column).as_py()}
    counts = pc.value_counts(column.drop_null().combine_chunks()).to_pylist() if len(column) > column.null_count else []
    described["distinct"] = len(counts)
    if len(counts) < min(FEW_VALUES, len(column)):
        common = sorted(counts, key=lambda entry: (-entry["counts"], str(entry["values"])))[:COMMON_VALUES]
        described["values"] = {str(entry["values"]): entry["counts"] for entry in common}
    return described


def print_description(described: dict[str, Any]) -> None:
    """Print the description as two small tables."""
    out = console()
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    facts.add_row("index", plain(f"{described['index']}  (version {described['version']})"))
    facts.add_row("clips", f"{described['rows']:,} in {described['segments']} segment(s): {described['search'] or 'none'}")
    if (recall := described["recall"]) is not None:
        interval = f"{recall['low']:.2f}–{recall['high']:.2f}"
        found = f"{recall['recall']:.3f} ({interval}) of the ten nearest; {recall['queries']} queries: {recall['source']}"
        facts.add_row("recall", plain(f"{found}; {recall['codes_compared']:.0%} of the codes compared"))
    if described["deleted"]:
        facts.add_row("deleted", f"{described['deleted']:,} clips, whose data goes with `vidsearch compact`")
    if (books := described["ledger"]) is not None and books["pending"]:
        facts.add_row("build", f"{books['planned']:,} clips planned, {books['done']:,} done, {books['pending']:,} pending")
    if (trained := described["training"]) is not None and trained["retrain"]:
        facts.add_row("codes", plain(f"{trained['reason']}; train them anew with `vidsearch compact --retrain`"))
    facts.add_row("model", plain(f"{described['model']}, preset {described['preset']}, {described['dim']} dimensions"))
    facts.add_row("space", described["space"][:12])
    facts.add_row("size", f"{described['size_bytes'] / 1e6:,.1f} MB, {described['bytes_per_clip']:,} bytes a clip")
    if described["quarantine"]:
        facts.add_row("not indexed", plain(", ".join(f"{number:,} {reason}" for reason, number in described["quarantine"].items())))
    for column, how in described["computed"].items():
        facts.add_row("computed", plain(f"{column}: {how.get('by')}"))
    for reason in described["skipped"]:
        facts.add_row("damaged", plain(reason))
    out.print(facts)
    if not described["columns"]:
        return
    rows = [(plain(column["name"]), column["type"], f"{column['nulls']:,}", plain(_range(column))) for column in described["columns"]]
    columns = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    taken = 0
    for number, title in enumerate(("column", "type", "nulls")):
        width = max(len(title), *(len(row[number]) for row in rows))
        columns.add_column(title, no_wrap=True, justify="right" if title == "nulls" else "left", width=width)
        taken += width + 2
    columns.add_column("range or values", no_wrap=True, overflow="ellipsis", width=max(10, out.width - taken))
    for row in rows:
        columns.add_row(*row)
    out.print()
    out.print(columns)


def _range(column: dict[str, Any]) -> str:
    if "min" in column:
        return "–" if column["min"] is None else f"{column['min']:.4g} … {column['max']:.4g}, mean {column['mean']:.4g}"
    if "values" in column:
        shown = ", ".join(f"{value} {number:,}" for value, number in column["values"].items())
        more = column["distinct"] - len(column["values"])
        return shown + (f", and {more:,} more" if more > 0 else "")
    return f"{column['distinct']:,} distinct"
