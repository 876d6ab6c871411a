"""What a person takes away: selected clips, or all that match, in one file that says how it was made.

A Parquet file has the recipe in its metadata; the other formats come in a ZIP archive together with it. `vidsearch replay` takes either. In
CSV every value stands as it is, also one that begins with = or @: these are data, not spreadsheets.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

from ui.asking.question import asks, question
from ui.asking.ranking import Ranker
from ui.state import DEPTH, State
from vidsearch._query_parts import Media
from vidsearch.curate.recipe import Subset, export, recipe_path
from vidsearch.errors import UsageError
from vidsearch.query import Query

FORMS = {
    "parquet": "Parquet",
    "csv": "CSV",
    "jsonl": "JSON lines",
    "ids": "Clip ids, a line each",
    "internvid": "InternVid-style JSON lines",
}
_SUFFIXES = {"parquet": "clips.parquet", "csv": "clips.csv", "jsonl": "clips.jsonl", "ids": "clips.txt", "internvid": "internvid.jsonl"}
MAX_IDS = 100_000


@dataclass(frozen=True)
class Written:
    """An export.

    Attributes:
        path: the one file to hand out.
        rows: clips in it.
        missing: clips that were selected and are not in the index any more.
        unnamed: of the InternVid-style rows, how many are no clips from YouTube and so have their file's path for an id.
    """

    path: Path
    rows: int
    missing: int = 0
    unnamed: int = 0


def write(ranker: Ranker, wanted: tuple[str, ...] | State, form: str, folder: Path) -> Written:
    """Write clips to a file in a folder; memory stays flat however many they are.

    Args:
        ranker: of the index.
        wanted: ids of selected clips, in this order; or a state, for all that match it: of a question the DEPTH best, each scored
            exactly, and without one every clip that passes, in the order of the index.
        form: one of FORMS.
        folder: where to; it is there, and holds no export yet.

    Raises:
        UsageError: no such form, or nothing is selected.
        QueryError, FilterError: the state's question cannot be asked.
    """
    if form not in FORMS:
        raise UsageError(f"unknown format {form!r:.40}; choose from {', '.join(FORMS)}")
    subset = matching(ranker, wanted) if isinstance(wanted, State) else selected(wanted)
    path = folder / _SUFFIXES[form]
    done, recipe = export(ranker.index, subset, path, form)
    missing = 0 if isinstance(wanted, State) else len(subset.ids or ()) - recipe.rows
    if form == "parquet":
        recipe_path(path).unlink()
    else:
        path = _archived(path)
    return Written(path, done.rows, missing, done.media.get("named by their file", 0))


def selected(ids: tuple[str, ...]) -> Subset:
    """Return the selected clips, each once, in their order."""
    if not ids:
        raise UsageError("no clip is selected; select some, or export all that match")
    if len(ids) > MAX_IDS:
        raise UsageError(f"{len(ids):,} clips are selected; {MAX_IDS:,} can be exported one by one, more of them as all that match")
    return Subset(ids=tuple(dict.fromkeys(ids)))


def matching(ranker: Ranker, state: State) -> Subset:
    """Return all clips that match a state."""
    inside = ranker.inside(state)
    ids = None if inside is None else tuple(row["clip_id"] for row in ranker.index.take(inside, ["clip_id"]))
    if not asks(state):
        return Subset(where=state.where or None, ids=ids)
    return Subset(_portable(ranker, question(state, None)), top=DEPTH, ids=ids)


def _portable(ranker: Ranker, query: Query) -> Query:
    """Return a query that has the vector of what was dropped in, in place of where it is kept here."""
    dropped = [item for item in query.like if isinstance(item, Media)]
    if not dropped:
        return query
    known = tuple(item for item in query.like if not isinstance(item, Media))
    return replace(query, like=known, vector=ranker.index.encode_media(dropped[0]))


def _archived(path: Path) -> Path:
    """Put a file and its recipe into an archive in their place."""
    archive = path.with_name(f"{path.name}.zip")
    with zipfile.ZipFile(archive, "x", zipfile.ZIP_DEFLATED, compresslevel=4) as file:
        for part in (path, recipe_path(path)):
            file.write(part, part.name)
            part.unlink()
    return archive
