"""Grows an index as it is told to, and prints which clips each version has: a program, so that it takes no time of the clients'."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from indexer import build_from_vectors
from indexer.rows import clips_table
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments
from vidsearch.storage.quarantine import quarantine_table


def build(root: Path, vectors: npt.NDArray[np.float32]) -> None:
    """Bring an index to so many vectors as the library does: small segments become one, and the old ones are replaced."""
    np.save(root.parent / "some.npy", vectors)
    (root.parent / "some.jsonl").write_text("\n".join(json.dumps({"clip_id": f"v{row}"}) for row in range(len(vectors))))
    build_from_vectors(root.parent / "some.npy", root, metadata=root.parent / "some.jsonl")


def add(root: Path, vectors: npt.NDArray[np.float32], first: int) -> None:
    """Commit a segment beside those that are there, one of which may be damaged."""
    place = {"video": "", "start_s": 0.0, "end_s": 1.0, "duration_s": 1.0}
    reference = segments.write(
        root,
        vectors=vectors.astype(np.float16),
        rows=clips_table([{"clip_id": f"v{first + row}", **place} for row in range(len(vectors))]),
        index_files={},
        quarantine=quarantine_table([]),
        info={"index": "flat"},
    )
    manifests.commit(root, lambda manifest: manifest.with_segments([*manifest.segments, reference]))


def tell(root: Path, known: int) -> int:
    """Print all versions after one that is known, {version: {uuid: [clip ids]}}, and return the newest."""
    told = {}
    for version in range(known + 1, max(manifests.versions(root)) + 1):
        opened = [segments.open_segment(root, reference) for reference in manifests.read_version(root, version).segments]
        told[version] = {segment.uuid: [row["clip_id"] for row in segment.take(range(segment.rows), ["clip_id"])] for segment in opened}
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
    return known + len(told)


def main() -> None:
    root, vectors = Path(sys.argv[1]), np.load(sys.argv[2])
    first = known = 0
    for line in sys.stdin:  # "build ROWS" or "add ROWS": so many there are to be then
        what, rows = line.split()
        if what == "build":
            build(root, vectors[: int(rows)])
        else:
            add(root, vectors[first : int(rows)], first)
        first = int(rows)
        known = tell(root, known)


if __name__ == "__main__":
    main()
