"""What every annotation of classes is: clips and the class of each.

A plug-in file `labels/NAME.py` is one layout, and defines two functions:

    recognises(path: Path) -> bool
        Whether that file or folder has this layout; one alone does.
    read(path: Path, split: str | None) -> list[Labelled]
        Its clips, of one split if it holds several. Raises UsageError naming the place of what is not understood.
"""

from __future__ import annotations

from dataclasses import dataclass

from vidsearch.evaluation.annotations.base import Clip


@dataclass(frozen=True)
class Labelled:
    """A clip and its class.

    Attributes:
        clip: a video, with or without folder and suffix, or a part of it.
        label: the class's name, or its index from 0.
        cut: what a file is called, without suffix, that holds this part alone; "" where there is none.
    """

    clip: Clip
    label: str | int
    cut: str = ""
