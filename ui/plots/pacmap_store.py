"""The one file that knows PaCMAP: positions that keep neighbours together, computed once by `vidsearch map` and kept beside the index.

They lie in INDEX.map/, not in the index's folder, whose files are its own and are removed when no version names them, and not in
somebody's cache, so that whoever serves the index finds what another person had computed.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vidsearch.errors import UsageError
from vidsearch.extras import require
from vidsearch.storage import files

WIDTH = 100.0  # of the map, which begins at OFFSET: no lasso drawn on the plane of PCA, within -2 to 2, means anything here
OFFSET = 100.0

Points = npt.NDArray[np.float32]  # (n, 2)


def folder_of(root: Path) -> Path:
    """Return where the maps of an index are kept."""
    return root.with_name(f"{root.resolve().name}.map") if root.name in ("", ".", "..") else root.with_name(f"{root.name}.map")


def embed(vectors: npt.NDArray[np.float32], *, seed: int = 0) -> Points:
    """Return places (n, 2) float32 of vectors (n, dim); some minutes for 100,000.

    Wang, Huang, Rudin and Shaposhnik, "Understanding How Dimension Reduction Tools Work" (JMLR 22, 2021), whose program computes it.
    """
    if len(vectors) < 20:
        raise UsageError(f"{len(vectors)} clips are too few for PaCMAP; 20 are needed, and the browser's own map shows fewer as well")
    points = require("pacmap").PaCMAP(n_components=2, random_state=seed).fit_transform(vectors)
    low, high = points.min(axis=0), points.max(axis=0)
    scaled: Points = ((points - low) / max(float((high - low).max()), 1e-9) * WIDTH + OFFSET).astype(np.float32)
    return scaled


def save(root: Path, key: str, points: Points) -> Path:
    """Keep the places of an index's sample, and return the file."""
    folder = folder_of(root)
    files.make_folder(folder)
    buffer = io.BytesIO()
    np.save(buffer, points.astype("<f4"), allow_pickle=False)
    path = folder / f"{key}.npy"
    files.put(path, buffer.getvalue(), staging=folder)
    return path


def load(root: Path, key: str, count: int) -> Points | None:
    """Return the places of a sample of so many clips, None where none fit this version of the index."""
    try:
        points = np.load(folder_of(root) / f"{key}.npy", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    fits = points.dtype == np.dtype("<f4") and points.shape == (count, 2) and bool(np.isfinite(points).all())
    return points if fits else None
