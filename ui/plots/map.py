"""A map of the data set: a sample of its clips on a plane, where near ones look alike."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pyarrow import types

from ui.filtering.labels import heading
from ui.plots import clusters, pacmap_store
from ui.plots.colors import colors_of
from ui.plots.positions import Plane, fit, project_all, project_rows
from vidsearch.corpus import Corpus, Rows
from vidsearch.curate.scan import draw_rows
from vidsearch.errors import QueryError, UsageError, VidsearchError
from vidsearch.playback._kept_files import KeptFiles
from vidsearch.selection import Selection

SAMPLE = 100_000
SEED = 0
TOP = 24  # results that are shown wherever they lie; a page of them
MOST_GROUPS, GROUP_POINTS = 16, 40  # groups, and points in one at least on average
HULL_CORNERS = 40
PLACES_BYTES = 2 << 30  # kept of places of whole indexes, 8 bytes a clip
TOLD = ("clip_id", "caption", "video", "start_s", "end_s", "language", "type")  # of a point under the pointer
NAMED_FROM = 20_000  # captions that the groups are named from

Points = npt.NDArray[np.float32]  # (n, 2)


@dataclass(frozen=True, eq=False)
class Layout:
    """Where clips lie.

    Attributes:
        key: names it; another sample, other segments or another method has another one.
        rows: (n,) of the sample, ascending.
        points: (n, 2) float32.
        plane: what projects further clips, None where there is no such thing.
        groups: name, median and border of each group of points, ready for JSON.
    """

    key: str
    rows: Rows
    points: Points
    plane: Plane | None
    groups: list[dict[str, Any]]


class Map:
    """The map of one index, made when it is first looked at: by PCA, or as `vidsearch map` has stored it beside the index.

    Args:
        index: what is drawn.
        cache: an own folder, for the places of all clips of an index.
    """

    def __init__(self, index: Corpus, cache: Path) -> None:
        self._index = index
        self._files = KeptFiles(cache / "places", limit_bytes=PLACES_BYTES, failure=VidsearchError)
        self._lock = threading.RLock()
        self._layout: Layout | None = None
        self._placed: tuple[str, Rows, Points] | None = None

    @property
    def layout(self) -> Layout:
        """The positions; those who ask meanwhile wait."""
        key = layout_key(self._index)
        with self._lock:
            if self._layout is None or not self._layout.key.startswith(key):  # a segment was left out: its rows' numbers are others' now
                self._layout = _layout(self._index, key)
            return self._layout

    def placed(self) -> tuple[Rows, Points]:
        """Return all rows that have a place, and the places: of every clip where they can be projected, else of the sample."""
        layout = self.layout
        if layout.plane is None:
            return layout.rows, layout.points
        with self._lock:
            if self._placed is None or self._placed[0] != layout.key:
                self._placed = layout.key, np.arange(self._index.slots), self._all_places(layout, layout.plane)
            return self._placed[1:]

    def _all_places(self, layout: Layout, plane: Plane) -> Points:
        """Return (slots, 2): seconds for each million clips the first time, then from the cache."""

        def make(path: Path) -> None:
            with path.open("wb") as file:
                np.save(file, project_all(self._index, plane), allow_pickle=False)

        with self._files.open(f"{layout.key}.npy", make) as file:
            points: Points = np.load(file, allow_pickle=False)
        return points if points.shape == (self._index.slots, 2) else project_all(self._index, plane)

    def payload(
        self, color: str = "", highlighted: Rows | None = None, selections: Sequence[Selection] | None = None, have: str = ""
    ) -> dict[str, Any]:
        """Return what the page draws, ready for JSON; arrays as base64 of little-endian bytes.

        Args:
            color: a column, "" for none.
            highlighted: rows of the current results, best first.
            selections: what passes the filter; other points are drawn faintly. None for all.
            have: key of the layout whose points the page has already; they are not sent again.
        """
        layout = self.layout
        names = [field.name for field in self._index.schema if _tells_apart(field)] if self._index.segments else []
        if color and color not in names:
            raise UsageError(f"the map cannot be coloured by {color!r:.60}; choose from {', '.join(names)}")
        codes, legend = colors_of(self._index, layout.rows, color) if color else (np.zeros(len(layout.rows), np.uint8), {"kind": "none"})
        results = np.zeros(0, np.int64) if highlighted is None else highlighted
        passing = None if selections is None else np.packbits(_passing(self._index, layout.rows, selections), bitorder="little")
        return {
            "key": layout.key,
            "points": "" if have == layout.key else _base64(layout.points.astype("<f4")),
            "count": len(layout.rows),
            "clips": len(self._index),
            "method": "PCA" if layout.plane else "PaCMAP",
            "note": self._note(layout),
            "color": color,
            "columns": [{"name": name, "label": heading(name)} for name in names],
            "codes": _base64(codes),
            "legend": legend,
            "passing": "" if passing is None else _base64(passing),
            "results": _base64(np.flatnonzero(np.isin(layout.rows, results)).astype("<u4")),
            "top": self._top(layout, results[:TOP]),
            "groups": layout.groups,
        }

    def point(self, number: int) -> dict[str, Any]:
        """Return what is written in one point of the sample."""
        rows = self.layout.rows
        if not 0 <= number < len(rows):
            raise QueryError(f"no point {number} on the map; it has {len(rows):,}")
        return self._index.take(rows[number : number + 1], [name for name in TOLD if name in self._index.schema.names])[0]

    def _top(self, layout: Layout, rows: Rows) -> list[dict[str, Any]]:
        if layout.plane is None:
            place_of = {row: place for place, row in enumerate(layout.rows.tolist())}
            places = [place_of[row] for row in rows.tolist() if row in place_of]
            rows, points = layout.rows[places], layout.points[places]
        else:
            points = project_rows(self._index, layout.plane, rows)
        ids = [row["clip_id"] for row in self._index.take(rows, ["clip_id"])]
        return [{"id": clip_id, "x": x, "y": y} for clip_id, (x, y) in zip(ids, points.tolist(), strict=True)]

    def _note(self, layout: Layout) -> str:
        count, whole = len(layout.rows), len(self._index)
        drawn = f"All {whole:,} clips" if count == whole else f"{count:,} clips drawn at random from {whole:,}"
        if layout.plane is None:
            return f"{drawn}, placed by PaCMAP: near dots look alike. A lasso chooses among the clips shown."
        plane = f"placed by the two directions in which they differ most (PCA, {sum(layout.plane.explained):.0%} of the variance)"
        return f"{drawn}, {plane}. A lasso chooses from all clips. `vidsearch map` places them so that neighbours stay together (PaCMAP)."


def layout_key(index: Corpus) -> str:
    """Return a name for the live rows of an index as they are numbered now."""
    whole = {segment.uuid for segment in index.segments}
    digest = hashlib.blake2b(digest_size=8)
    for reference in index.manifest.segments:
        if reference.uuid in whole:
            digest.update(f"{reference.sha256} {reference.deleted.sha256 if reference.deleted else ''}\n".encode())
    return f"{digest.hexdigest()}-{SAMPLE}-{SEED}"


def sample(index: Corpus) -> Rows:
    """Return the rows on the map."""
    return draw_rows(index, index.select(None), SAMPLE, seed=SEED)


def _layout(index: Corpus, key: str) -> Layout:
    rows = sample(index)
    stored = pacmap_store.load(index.root, key, len(rows))
    if stored is not None:
        return Layout(f"{key}-pacmap", rows, stored, None, _groups(index, rows, stored))
    plane = fit(index, rows)
    points = project_rows(index, plane, rows)
    return Layout(f"{key}-pca", rows, points, plane, _groups(index, rows, points))


def _groups(index: Corpus, rows: Rows, points: Points) -> list[dict[str, Any]]:
    labels = clusters.group(points, min(MOST_GROUPS, max(1, len(points) // GROUP_POINTS)), seed=SEED)
    chosen = np.sort(np.random.default_rng(SEED).permutation(len(rows))[:NAMED_FROM])
    captions = [row.get("caption") for row in index.take(rows[chosen], ["caption"])]
    named = clusters.names(captions, labels[chosen])
    found = []
    for number in range(int(labels.max(initial=-1)) + 1):
        members = points[labels == number]
        x, y = np.median(members, axis=0).tolist()
        name = named[number] if number < len(named) else ""
        found.append({"name": name, "count": len(members), "x": x, "y": y, "border": clusters.border(members, HULL_CORNERS)})
    return sorted(found, key=lambda group: -group["count"])


def _passing(index: Corpus, rows: Rows, selections: Sequence[Selection]) -> npt.NDArray[np.bool_]:
    """Return which rows of the sample pass, (n,) bool."""
    parts = np.searchsorted(rows, index.offsets)
    found = [np.zeros(0, np.bool_)]
    for number, selection in enumerate(selections):
        within = rows[parts[number] : parts[number + 1]] - index.offsets[number]
        found.append(np.ones(len(within), np.bool_) if selection.everything else selection.mask[within])
    return np.concatenate(found)


def _tells_apart(field: Any) -> bool:
    return field.name not in ("clip_id", "video", "youtube_id", "caption") and not types.is_nested(field.type)


def _base64(array: npt.NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
