"""The live line: pace of late, what holds a build up, time left; and what it looks like in a terminal of 80 columns."""

import os
import pty
import sys
from subprocess import run

import pytest

from indexer.live import Watch, duration, sentence, short
from indexer.summary import FOLDING, Summary


def watched(*moments):
    """Show a watch what a build is like at some times; moments are (seconds, attributes)."""
    watch, summary = Watch(0.0), Summary(stage="decoding", planned=10_000)
    for now_s, attributes in moments:
        for name, value in attributes.items():
            if name == "waits":
                summary.waits.update(value)
            else:
                setattr(summary, name, value)
        state = watch.see(summary, now_s)
    return state


def test_the_pace_is_that_of_the_last_half_minute():
    steady = [(float(second), {"indexed": 10 * second}) for second in range(200)]
    slowed = [(200.0 + second, {"indexed": 1990 + second}) for second in range(60)]
    assert watched(*steady).per_s == pytest.approx(10)
    assert watched(*steady, *slowed).per_s == pytest.approx(1, rel=0.05)
    assert watched(*steady).left_s == pytest.approx((10_000 - 1990) / 10)


@pytest.mark.parametrize("stage", ["decoding", "embedding", "writing"])
def test_the_stage_that_is_waited_for_holds_it_up(stage):
    waits = [(float(second), {"waits": {"decoding": 0.1 * second, stage: 0.8 * second}, "indexed": second}) for second in range(9)]
    assert watched(*waits).held_up_by == stage


def test_a_stage_that_is_hardly_waited_for_holds_nothing_up():
    assert watched((0.0, {}), (5.0, {"waits": {"decoding": 0.2}, "indexed": 9})).held_up_by == ""


def test_rows_are_counted_while_they_are_read_and_clips_afterwards():
    reading = watched((0.0, {"stage": "reading rows", "planned": 0}), (2.0, {"read": 400_000}))
    assert sentence(reading) == "reading rows: 400,000 so far, 200,000/s"
    after = watched((0.0, {"read": 400_000}), (1.0, {}), (2.0, {"indexed": 10, "queued": 3}))
    assert sentence(after) == "10 of 10,000 clips, 5.0/s, 3 decoded and waiting, 33 min left"


def test_while_videos_are_uncut_nobody_knows_how_long_it_takes():
    assert watched((0.0, {"uncut": 3}), (1.0, {"indexed": 5})).left_s is None


def test_the_longest_line_leaves_room_for_a_bar():
    waits = {"waits": {"embedding": 900.0}}
    state = watched((0.0, {"planned": 10_647_325}), (1000.0, {"indexed": 1_234_567, "queued": 64, **waits}))
    assert len(short(state)) <= 77
    assert short(state).startswith("1,234,567/10,647,325  1,234.6/s  64 queued  slow: embedding")


def test_durations_are_said_as_people_say_them():
    assert [duration(s) for s in (0, 99, 100, 5939, 7500, 3600 * 50)] == ["0 s", "99 s", "2 min", "99 min", "2 h 05 min", "2 d 2 h"]


def test_at_the_end_it_says_that_segments_are_folded():
    state = watched((0.0, {}), (9.0, {"indexed": 10_000, "stage": FOLDING}))
    assert short(state) == "10,000/10,000  folding segments together"
    assert sentence(state) == "10,000 of 10,000 clips, folding segments together"


SCRIPT = """
from indexer.live import shown
from indexer.summary import Summary
summary = Summary(stage="decoding", planned=10_647_325)
with shown() as show:
    for summary.indexed in range(0, 2_000_000, 100_000):
        summary.queued = 64
        show(summary)
"""


@pytest.mark.skipif(os.name == "nt", reason="a pseudo-terminal")
def test_in_a_terminal_of_80_columns_it_is_one_line():
    ours, theirs = pty.openpty()
    run([sys.executable, "-c", SCRIPT], check=True, stderr=theirs, env={**os.environ, "COLUMNS": "80", "TERM": "xterm"}, timeout=60)
    os.close(theirs)
    told = b""
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        while chunk := _read(terminal):
            told += chunk
    assert b"10,647,325" in told
    frames, end = told.rsplit(b"\r\n", 1)
    assert b"\n" not in frames  # a line that is too long would be broken in two,
    assert b"\x1b[1A" not in frames  # and the next drawn over both
    assert b"\x1b[2K" in end  # it is gone afterwards


def _read(terminal):
    try:
        return terminal.read(4096)
    except OSError:  # nobody has the other end any more
        return b""
