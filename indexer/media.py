"""Where the videos of a build lie."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from indexer.jobs import Job


class Media:
    """Videos that lie in their folder; what brings them there from elsewhere is a subclass."""

    def ahead(self, jobs: Iterable[Job]) -> Iterator[Job]:
        """Yield jobs whose video can be decoded."""
        yield from jobs

    def release(self, video: str) -> None:
        """Say that a job of a video is done."""
