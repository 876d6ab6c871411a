"""Answers as JSON, and back: what a service sends and its clients read."""

from __future__ import annotations

import math
from dataclasses import asdict, fields
from typing import Any

from vidsearch.results import Certificate, Confidence, Count, Hit, Hits

_NESTED = ("group", "chain")
_HIT = tuple(field.name for field in fields(Hit))


def hits_to_json(hits: Hits, *, index_version: int) -> dict[str, Any]:
    """Return an answer, ready for `json`; NaN, which JSON lacks, is null."""
    return {
        "hits": [_hit_to_json(hit) for hit in hits],
        "cursor": hits.cursor,
        "total": {"rows": hits.total.rows, "exact": hits.total.exact},
        "rows": hits.rows,
        "matching": hits.matching,
        "plan": hits.plan,
        "certificate": None if hits.certificate is None else asdict(hits.certificate),
        "parts": [list(part) for part in hits.parts],
        "confidence": None if hits.confidence is None else hits.confidence.to_json(),
        "timings_ms": hits.timings_ms,
        "partial": bool(hits.skipped),
        "skipped": list(hits.skipped),
        "index_version": index_version,
    }


def hits_from_json(values: dict[str, Any]) -> Hits:
    """Read back what `hits_to_json` wrote, and a later version may have added to; dates and times in the metadata stay text."""
    certificate, confidence = values["certificate"], values.get("confidence")
    return Hits(
        tuple(_hit_from_json(hit) for hit in values["hits"]),
        rows=values["rows"],
        matching=values["matching"],
        plan=values["plan"],
        timings_ms=values["timings_ms"],
        skipped=tuple(values["skipped"]),
        certificate=None if certificate is None else Certificate(**_known(Certificate, certificate)),
        total=Count(**_known(Count, values["total"])),
        cursor=values["cursor"],
        parts=tuple((text, rows) for text, rows in values["parts"]),
        confidence=None if confidence is None else Confidence(**_known(Confidence, confidence)),
    )


def plain(value: Any) -> Any:
    """Return a value of a row as JSON has it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if isinstance(value, str | int | bool | None) else str(value)


def _hit_to_json(hit: Hit) -> dict[str, Any]:
    values = {name: plain(getattr(hit, name)) for name in _HIT if name not in _NESTED}
    nested = {name: [_hit_to_json(one) for one in hits] for name in _NESTED if (hits := getattr(hit, name)) is not None}
    return {**values, **nested}


def _hit_from_json(values: dict[str, Any]) -> Hit:
    known = {name: value for name, value in _known(Hit, values).items() if name not in _NESTED}
    nested: dict[str, Any] = {
        name: tuple(_hit_from_json(one) for one in hits) for name in _NESTED if (hits := values.get(name)) is not None
    }
    known["score"] = math.nan if known["score"] is None else known["score"]
    return Hit(**known, **nested)


def _known(kind: type[Any], values: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in values.items() if name in names}
