"""The figures of a data set: every bar against looking at every row, and against the filter that a click on it sets."""

import json
import unicodedata
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.made import made

from ui.filtering import conditions
from ui.plots.dataset import Dataset, figures
from vidsearch import open_index
from vidsearch.evaluation.captions import count_words
from vidsearch.evaluation.counting import PER_VIDEO
from vidsearch.storage import manifest as manifests
from vidsearch.upkeep.delete import delete

SCRIPT = "<script>alert(1)</script>"
CAPTIONS = [
    "a dog runs",
    None,
    "two  words",
    "",
    "狗在跑",
    "ein Hund läuft – schnell",
    "สวัสดี",
    "one",
    "개가 달린다 빨리",
    "  lead and trail  ",
]
COUNT = 700


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("dataset") / "index"
    made(
        root,
        rng.normal(size=(400, 4)),
        rng.normal(size=(300, 4)),
        language=[[None, "en", "en", "zh", SCRIPT][row % 5] for row in range(COUNT)],
        aesthetic=[None if row % 11 == 0 else round(4 + (row % 37) / 10, 2) for row in range(COUNT)],
        duration_s=[float(1 + row % 30) if row % 50 else 900.0 for row in range(COUNT)],
        has_audio=[row % 3 == 0 for row in range(COUNT)],
        shots=[row % 4 for row in range(COUNT)],
        same=["x"] * COUNT,
        caption=[CAPTIONS[row % len(CAPTIONS)] for row in range(COUNT)],
        youtube_id=[None if row % 2 else f"id{row % 20}" for row in range(COUNT)],
        video=[f"v{row % 9}.mp4" for row in range(COUNT)],
    )
    delete(root, where="aesthetic = 4.3")
    return open_index(root)


@pytest.fixture(scope="module", params=[None, "language = 'en'", "aesthetic > 5 and has_audio"])
def where(request):
    return request.param


@pytest.fixture(scope="module")
def counted(index, where):
    selections = index.select(where)
    rows = [int(first) + row for first, part in zip(index.offsets, selections, strict=False) for row in part.ids.tolist()]
    return figures(index, selections), index.take(rows)


def chart(said, name):
    return next((one for one in said["charts"] if one["name"] == name), None)


def test_each_bar_of_a_column_counts_what_its_filter_finds(index, where, counted):
    said, rows = counted
    clicked = 0
    for drawn in said["charts"]:
        if drawn["name"] not in index.schema.names:
            continue
        for row, shown in zip(drawn["rows"], drawn["figure"]["data"][0]["customdata"], strict=True):
            assert shown == row["action"]
            if row["action"] is None:
                continue
            clicked += 1
            action = dict(row["action"])
            make = {"toggle": conditions.toggle, "range": conditions.set_range}[action.pop("kind")]
            condition = make(index, "", **action)
            assert row["count"] == index.count(where=f"({condition}) and ({where})" if where else condition).rows
        known = sum(values[drawn["name"]] is not None for values in rows)
        if drawn["name"] != "caption":
            assert sum(row["count"] for row in drawn["rows"]) == known
    assert clicked > 40
    assert {"language", "aesthetic", "duration_s", "has_audio", "shots"} <= {drawn["name"] for drawn in said["charts"]}
    assert chart(said, "same") is None  # it tells nothing apart


def test_headlines_are_those_of_the_rows(counted):
    said, rows = counted
    numbers = {number["label"]: (number["value"], number["note"]) for number in said["numbers"]}
    words = [len(_slow_words(row["caption"])) for row in rows if row["caption"] is not None]
    seconds = [row["duration_s"] for row in rows]
    videos = {row["youtube_id"] or row["video"] for row in rows}
    assert said["clips"] == len(rows)
    assert numbers["Clips"][0] == f"{len(rows):,}"
    assert numbers["Source videos"][0] == f"{len(videos)}"
    assert numbers["Footage"][0] == (f"{sum(seconds) / 3600:.1f} h" if sum(seconds) >= 3600 else f"{sum(seconds) / 60:.0f} min")
    assert numbers["Median clip"] == (f"{np.median(seconds):.1f} s", f"mean {np.mean(seconds):.1f} s")
    assert numbers["Languages"][0] == str(len({row["language"] for row in rows} - {None}))
    assert numbers["Words a caption"] == (f"{np.mean(words):.1f}", f"{sum(words):,} in all")
    assert numbers["Has audio"][1] == f"{sum(row['has_audio'] for row in rows):,} clips"


def test_captions_clips_per_video_and_missing_values_are_counted(index, counted):
    said, rows = counted
    lengths = Counter(len(_slow_words(row["caption"])) for row in rows if row["caption"] is not None)
    bars = chart(said, "caption")["rows"]
    assert [row["count"] for row in bars if row["count"]] == [lengths[length] for length in sorted(lengths)]
    per_video = Counter(row["youtube_id"] or row["video"] for row in rows).values()
    bars = chart(said, "clips_per_video")["rows"]
    spans = [sum(low <= clips <= (high or clips) for clips in per_video) for low, high in PER_VIDEO]
    assert [row["count"] for row in bars] == spans[: len(bars)]
    assert not any(spans[len(bars) :])
    missing = {name: count for name in index.schema.names if (count := sum(row[name] is None for row in rows))}
    found = chart(said, "missing")["rows"]
    assert {row["label"]: row["count"] for row in found} == missing
    assert all(row["action"] == {"kind": "toggle", "column": row["label"], "value": None} for row in found)


def test_the_quarantine_is_that_of_the_whole_index(counted):
    bars = chart(counted[0], "quarantine")["rows"]
    assert [(row["label"], row["count"], row["action"]) for row in bars] == [("DELETED", 17, None), ("OPEN_FAILED", 2, None)]


def test_what_a_data_set_says_is_text(index):
    drawn = chart(figures(index, index.select(None)), "language")
    trace = drawn["figure"]["data"][0]
    assert SCRIPT in [row["label"] for row in drawn["rows"]]
    assert "<" not in "".join([*trace["y"], *trace["hovertext"]])


def test_a_filter_is_counted_once(index):
    dataset = Dataset(index)
    first = dataset.figures(index.select("language = 'en'"))
    assert dataset.figures(index.select("language in ('en')")) is first
    assert dataset.figures(index.select(None)) is not first
    assert first == figures(index, index.select("language = 'en'"))
    json.dumps(first, allow_nan=False)


def test_no_clip_and_no_segment_are_said(index, tmp_path):
    said = figures(index, index.select("language = 'en' and aesthetic > 99"))
    assert said["clips"] == 0
    assert said["numbers"][0] == {"label": "Clips", "value": "0", "note": f"0 % of {len(index)}"}
    manifests.create(tmp_path / "empty", index.space)
    empty = open_index(tmp_path / "empty")
    assert figures(empty, empty.select(None)) == {
        "clips": 0,
        "of": 0,
        "numbers": [{"label": "Clips", "value": "0", "note": ""}, {"label": "Source videos", "value": "0", "note": ""}],
        "charts": [],
    }


SPACELESS = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")
WIDE_PUNCTUATION = set("、。〃〈〉《》「」『』【】〒〓〔〕〖〗〘〙〚〛〜〝〞〟") | {
    chr(code) for code in [*range(0xFF01, 0xFF10), *range(0xFF1A, 0xFF21)]
}


def _slow_words(text):
    """Split at spaces, a character at a time."""
    words, word = [], ""
    wide = any(len(character.encode()) > 2 for character in text)
    for character in text:
        gap = character <= " " or (wide and (unicodedata.category(character)[0] == "Z" or character in WIDE_PUNCTUATION))
        alone = SPACELESS.match(character)
        if gap or alone:
            words += [word] if word else []
            word = ""
        if alone:
            words.append(character)
        elif not gap:
            word += character
    return [*words, *([word] if word else [])]


TEXT = st.text(st.sampled_from("ab, \t\n-é語。あ๑กข한，！ ’\u3000😀\u00a0")) | st.text(
    st.characters(exclude_categories=["Cs", "Cn", "Cc"]), max_size=12
)


@settings(deadline=None)  # the first one compiles
@given(st.lists(st.none() | TEXT, max_size=8), st.integers(0, 3))
@example(["a b", "", None, "語 x", " c"], 1)
def test_words_are_counted_as_one_by_one(texts, skipped):
    counts = count_words(pa.array(texts, pa.large_string())[skipped:])
    assert counts.tolist() == [0 if text is None else len(_slow_words(text)) for text in texts[skipped:]]
