"""What every executor is: a way to have the jobs of a build done.

A plug-in file `executors/NAME.py` defines one function, and imports its heavy library only inside it:

    build(order: Order, encoder: Encoder, progress: Progress) -> Summary
        Index what the order names, and return what was done. The encoder is the caller's: for the index's space, and for texts to train
        the codes with; workers elsewhere load their own, as the order says.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from indexer.plans import Asked
from vidsearch.storage.garbage import GRACE_S


@dataclass(frozen=True)
class Order:
    """What is to be indexed, and how; the names are those of `indexer.build`.

    Attributes:
        model, preset, precision, device: as for `load_encoder`; the paths among them mean the same on every machine.
        workers: decode processes beside each encoder; None leaves it to the executor.
        job_clips: clips of a job, about; None for 256, or more where that would make too many jobs.
        address: of a cluster; None for this machine alone.
    """

    source: Path
    out: Path
    model: str
    preset: str | None = None
    precision: str = "auto"
    device: str = "auto"
    metadata: Path | None = None
    videos: Path | None = None
    from_captions: bool = False
    split: str = "scenes"
    decoder: str = "pyav"
    workers: int | None = None
    index_factory: str | None = None
    seed: int = 0
    max_quarantine: float | None = None
    grace_s: float = GRACE_S
    job_clips: int | None = None
    address: str | None = None

    @property
    def asked(self) -> Asked:
        return Asked(self.split, self.from_captions, self.job_clips)
