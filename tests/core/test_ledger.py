"""The books of an index."""

import pyarrow as pa
import pytest

from vidsearch.storage.ledger import Ledger, Tally, digests, recount
from vidsearch.storage.quarantine import quarantine_table

HEX = ["0123456789abcdef0123", "fedcba98765432100000", "0" * 20]


def tally(*ids):
    return Tally.of(pa.array(ids, pa.string()))


def test_ids_that_are_hashes_are_their_own_digests():
    assert digests(pa.array(HEX)).tolist() == [0x0123456789ABCDEF, 0xFEDCBA9876543210, 0]


@pytest.mark.parametrize("odd", ["x", "", "0123456789ABCDEF0123", "ä" * 10, "0123456789abcdef012g"])
def test_an_id_has_one_digest_whatever_stands_beside_it(odd):
    assert digests(pa.array([*HEX, odd])).tolist()[:3] == digests(pa.array(HEX)).tolist()
    assert digests(pa.array([odd, "a"]))[0] == digests(pa.chunked_array([["b"], [odd]]))[1]


def test_a_slice_has_the_digests_of_its_own_rows():
    assert digests(pa.array(HEX).slice(1, 1)).tolist() == [0xFEDCBA9876543210]
    assert digests(pa.array([], pa.string())).tolist() == []


def test_tallies_add_up_and_take_away_modulo_two_to_the_64():
    both = tally(*HEX)
    assert both == tally(HEX[0]) + tally(HEX[1]) + tally(HEX[2])
    assert both - tally(HEX[1]) == tally(HEX[0], HEX[2])
    assert Tally.from_json(both.to_json()) == both


def test_a_build_moves_clips_from_pending_to_done():
    ledger = Ledger().plan("input", "run", tally("a", "b", "c"))
    assert (ledger.planned.clips, ledger.done) == (3, Tally())
    ledger = ledger.settle("input", "run", done=tally("b"), added=tally("shot"))
    assert ledger.done == tally("b", "shot")
    assert ledger.planned == tally("a", "b", "c", "shot")
    ledger = ledger.settle("input", "run", done=tally("a", "c"), twice=tally("c"))
    assert ledger.done == ledger.planned == tally("a", "b", "shot")
    assert ledger.to_json()["pending"] == {}


def test_planning_an_input_again_replaces_what_was_pending_of_it_and_no_other():
    ledger = Ledger().plan("one", "1", tally("a", "b")).plan("two", "1", tally("c")).plan("one", "2", tally("b", "d"))
    assert ledger.planned == tally("b", "c", "d")
    assert Ledger.from_settings(ledger.into({"search": 1})) == ledger
    assert Ledger.from_settings({}) is None


def test_builds_of_one_input_at_once_count_each_clip_once():
    both = Ledger().plan("one", "1", tally("a", "b")).plan("one", "2", tally("a", "b"))
    early = both.settle("one", "1", done=tally("a"))  # the first, whose clips the second has taken over
    assert early.done == tally("a")
    late = early.settle("one", "2", done=tally("a", "b"), twice=tally("a"))
    assert late.done == late.planned == tally("a", "b")
    assert late.settle("one", "1", done=tally("b"), twice=tally("b")) == late


class Rows:
    def __init__(self, ids, bad):
        self.ids, self.bad = ids, bad

    def read_columns(self, names):
        return pa.table({name: pa.array(self.ids, pa.string()) for name in names})

    def quarantine(self):
        return quarantine_table([{"clip_id": name, "video": "", "reason": "EMPTY"} for name in self.bad])


def test_a_recount_counts_a_clip_once_wherever_it_stands():
    assert recount([Rows(["a", "b"], ["c"]), Rows(["b"], ["a", "c", "d"])]) == tally("a", "b", "c", "d")
    assert recount([]) == Tally()
