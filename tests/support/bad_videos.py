"""What comes of the corpus of bad and odd files in the real decode processes. `python -m tests.support.bad_videos` prints it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path

from indexer.workers import ClipFailure, ClipPixels, DecodePool, JobDone, VideoJob
from tests.support.bad_corpus import BEYOND, CORPUS, Entry
from tests.support.bad_files import Place
from tests.support.canary import Canary
from tests.support.videos import FPS, read_number
from vidsearch.config import Preset
from vidsearch.decoders.base import Span
from vidsearch.sampling import choose_frames

PRESET = Preset("corpus", size=80, frames=4)
GAP_S = 1 / FPS + 2e-3


@dataclass
class Outcome:
    """What came of one file: the clips that came, as (numbers, times), and the reasons of those that did not."""

    entry: Entry
    clips: dict[int, tuple[list[int], tuple[float, ...]]] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    done: JobDone | None = None

    def account(self, done: JobDone) -> None:
        self.done = done
        if done.reason:
            missing = set(range(len(self.entry.spans))) - self.clips.keys() - self.refused.keys()
            self.refused.update(dict.fromkeys(missing, done.reason))

    def wrong(self) -> list[str]:
        """Return what is not as it must be."""
        found = [] if self.done else ["nobody heard of it again"]
        allowed = {*self.entry.reasons, *BEYOND}
        if sorted([*self.clips, *self.refused]) != list(range(len(self.entry.spans))):
            found.append(f"clips {sorted([*self.clips, *self.refused])} of {len(self.entry.spans)}")
        found += [f"clip {index} was refused as {reason}" for index, reason in self.refused.items() if reason not in allowed]
        for index, (numbers, times_s) in self.clips.items():
            found += [f"clip {index}: {problem}" for problem in self._judge(self.entry.spans[index], numbers, times_s)]
        if len(self.clips) < self.entry.at_least:
            found.append(f"{len(self.clips)} clips came, at least {self.entry.at_least} are there")
        if not self.entry.reasons:
            wanted = [index for index, span in enumerate(self.entry.spans) if self.entry.between(span)]
            found += [f"clip {index} did not come" for index in wanted if index not in self.clips]
        return found

    def _judge(self, span: Span, numbers: list[int], times_s: tuple[float, ...]) -> Iterable[str]:
        true = self.entry.times_s
        inside = self.entry.between(span)
        if not inside:
            yield f"frames {numbers}, where there are none"
            return
        wanted = [inside[position] for position in choose_frames(len(inside), PRESET)]
        if not self.entry.reasons and self.entry.legible and numbers != wanted:
            yield f"frames {numbers} instead of {wanted}"
        for number, time_s in zip(numbers if self.entry.legible else wanted, times_s, strict=True):
            if number not in inside or abs(true[number] - time_s) > GAP_S:
                yield f"frame {number} is given for {time_s:.3f} s"

    def __str__(self) -> str:
        reasons = sorted(set(self.refused.values()) - set(BEYOND if self.clips else ()))
        return "; ".join(filter(None, [f"{len(self.clips)} clips" if self.clips else "", ", ".join(reasons)]))


def run(folder: Path, canary: Canary, *, workers: int = 2) -> dict[str, Outcome]:
    """Make all files and read five clips of each through the real decode processes, which run where the canary is."""
    jobs = []
    for number, entry in enumerate(CORPUS.values()):
        place = Place(folder / f"{number:03d}", canary)
        place.folder.mkdir()
        jobs.append(VideoJob(number, entry.make(place), entry.spans))
    canary.touched()
    outcomes = [Outcome(entry) for entry in CORPUS.values()]
    with chdir(canary.folder), DecodePool(PRESET, workers=workers, timeout_s=30.0) as pool:
        for result in pool.run(jobs):
            if isinstance(result, ClipPixels):
                outcomes[result.job_id].clips[result.index] = ([read_number(frame) for frame in result.pixels], result.times_s)
            elif isinstance(result, ClipFailure):
                outcomes[result.job_id].refused[result.index] = result.reason
            elif isinstance(result, JobDone):
                outcomes[result.job_id].account(result)
    return dict(zip(CORPUS, outcomes, strict=True))


def main() -> None:
    """Print the corpus as a table for docs/reliability.md; exit with 1 if anything is not as it must be."""
    with tempfile.TemporaryDirectory() as folder, Canary(Path(folder) / "canary") as canary:
        outcomes = run(Path(folder), canary)
        lines = ["| file | made | of 5 clips | as it must be |", "|---|---|---|---|"]
        for name, outcome in outcomes.items():
            lines.append(f"| {name} | {outcome.entry.made} | {outcome} | {'; '.join(outcome.wrong()) or 'yes'} |")
        touched = canary.touched()
        lines.append(f"\n{len(outcomes)} files; another file or address was {'OPENED' if touched else 'never opened'}")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.exit(touched or any(outcome.wrong() for outcome in outcomes.values()))


if __name__ == "__main__":
    main()
