"""The figures of a data set against a loop over its rows; what is printed of them, and the page."""

import html
import json
import re
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest
from support.made import made
from support.tables import index_of
from typer.testing import CliRunner

from vidsearch import open_index
from vidsearch.curate.stats_cli import stats
from vidsearch.errors import FilterError
from vidsearch.evaluation import counting
from vidsearch.evaluation.charts import charts
from vidsearch.evaluation.distribution import distribution
from vidsearch.evaluation.statistics import LISTED, SIDES, statistics
from vidsearch.evaluation.statistics_html import page
from vidsearch.evaluation.statistics_text import lines
from vidsearch.storage import manifest as manifests
from vidsearch.upkeep.delete import delete

SCRIPT = "<script src=https://example.org/x.js>alert(1)</script>"
CAPTIONS = {"a dog runs": 3, "two  words": 2, "": 0, "狗在跑": 3, "日本語 word": 4, "ein Hund läuft – schnell": 5, "  lead ": 1}
COUNT = 600


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two segments with unlike columns, nulls, captions in several scripts, and deleted rows."""
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("statistics") / "index"
    captions = [*CAPTIONS, None]
    made(
        root,
        rng.normal(size=(400, 4)),
        rng.normal(size=(200, 4)),
        language=[[None, "en", "en", "zh", SCRIPT][row % 5] for row in range(COUNT)],
        aesthetic=[None if row % 11 == 0 else round(4 + (row % 37) / 10, 2) for row in range(COUNT)],
        duration_s=[float(1 + row % 30) if row % 50 else 900.0 for row in range(COUNT)],
        shots=[row % 4 for row in range(400)],  # the second segment has no such column
        has_audio=[row % 3 == 0 for row in range(COUNT)],
        caption=[captions[row % len(captions)] for row in range(COUNT)],
        youtube_id=[None if row % 4 == 0 else f"id{row % 90}" for row in range(COUNT)],
        video=[f"v{row % 9}.mp4" for row in range(COUNT)],
        width=[None if row % 7 == 0 else [1280, 720, 320, 3840][row % 4] for row in range(COUNT)],
        height=[None if row % 5 == 0 else [720, 1280, 239, 2160][row % 4] for row in range(COUNT)],
    )
    delete(root, where="aesthetic = 4.3")
    return root


@pytest.fixture(scope="module", params=[None, "language = 'en'", "aesthetic > 5 and has_audio"])
def counted(request, root):
    index = open_index(root)
    rows = [int(first) + row for first, part in zip(index.offsets, index.select(request.param), strict=False) for row in part.ids]
    return statistics(index, request.param), index.take(rows)


def known(rows, name):
    return [row[name] for row in rows if row[name] is not None]


def test_totals_are_those_of_the_rows(counted):
    found, rows = counted
    seconds = known(rows, "duration_s")
    videos = Counter(row["youtube_id"] or row["video"] for row in rows)
    assert (found.clips, found.of, found.deleted) == (len(rows), COUNT - 15, 15)
    assert found.hours == pytest.approx(sum(seconds) / 3600)
    assert found.short == pytest.approx(sum(one <= 10 for one in seconds) / len(seconds))
    assert (found.videos, found.most_per_video) == (len(videos), max(videos.values()))
    assert sum(count for _, count in found.per_video) == len(videos)
    assert dict(found.per_video).get("2", 0) == sum(count == 2 for count in videos.values())
    assert dict(found.missing) == {name: count for name in rows[0] if (count := sum(row[name] is None for row in rows))}
    assert dict(found.quarantine) == {"DELETED": 15, "OPEN_FAILED": 2}


@pytest.mark.parametrize("name", ["language", "has_audio"])
def test_values_are_counted(counted, name):
    found, rows = counted
    column = found.column(name)
    assert dict(column.values) == Counter(known(rows, name))
    assert (column.clips, column.distinct) == (len(known(rows, name)), len(set(known(rows, name))))


@pytest.mark.parametrize("name", ["aesthetic", "duration_s", "shots"])
def test_numbers_are_spread_as_numpy_has_it(counted, name):
    found, rows = counted
    spread, values = found.column(name).distribution, np.array(known(rows, name))
    assert (spread.count, spread.least, spread.greatest) == (len(values), *map(pytest.approx, (values.min(), values.max())))
    assert spread.mean == pytest.approx(values.mean())
    assert spread.quantiles == pytest.approx(np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95]))
    in_bins = [
        sum(low <= value < high for value in values.astype(np.float32).tolist())
        for low, high in zip(np.float32(spread.edges[:-1]).tolist(), np.float32(spread.edges[1:]).tolist(), strict=True)
    ]
    assert list(spread.counts) == in_bins
    assert sum(spread.counts) == len(values)


def test_captions_of_every_script_have_their_length(counted):
    found, rows = counted
    lengths = [CAPTIONS[text] for text in known(rows, "caption")]
    assert (found.words.count, found.words.total) == (len(lengths), sum(lengths))
    assert found.words.median == np.median(lengths)


def test_resolutions_go_by_the_shorter_side(counted):
    found, rows = counted
    sides = [min(row["width"], row["height"]) for row in rows if row["width"] is not None and row["height"] is not None]
    names = ["below 240p", *(f"{side}p" for side in SIDES)]
    assert dict(found.resolutions) == Counter(names[sum(side >= least for least in SIDES)] for side in sides)


def test_many_texts_are_not_listed_and_few_are_cut(tmp_path):
    index = index_of(
        tmp_path / "index", pa.table({"note": [f"n{row}" for row in range(5000)], "kind": [f"k{row % 300}" for row in range(5000)]})
    )
    found = statistics(index)
    assert (found.column("note").kind, found.column("note").values) == ("texts", ())
    assert (found.column("kind").distinct, len(found.column("kind").values)) == (300, LISTED)
    assert not {"note", "kind"} & {chart.title for chart in charts(found)}
    assert "note, kind" in list(lines(found))[-1]


def test_times_and_numbers_out_of_bounds(tmp_path):
    days = pa.array([0, 31, 59, None], pa.int32()).cast(pa.date32())
    table = pa.table({"day": days, "at": days.cast(pa.timestamp("ms")), "odd": [1.0, float("nan"), float("inf"), 1e305]})
    found = statistics(index_of(tmp_path / "index", table))
    for name in ("day", "at"):
        assert (found.column(name).distribution.least, found.column(name).distribution.greatest) == (0, 59 * 86_400)
    assert (found.column("odd").distribution.count, found.column("odd").distribution.total) == (1, 1.0)
    assert any("1970-01-01" in line for line in lines(found))
    json.dumps(found.to_json(), allow_nan=False)


def test_one_source_video_in_several_segments_is_one(tmp_path):
    tables = [pa.table({"video": [f"{n}-{row}" if row % 2 else f"{row}" for row in range(5000)]}) for n in range(2)]
    videos = counting.clips_per_video(index := index_of(tmp_path / "index", *tables), index.select(None))
    assert index.segments[0].columns["video"].kind == "text"
    assert Counter(videos.tolist()) == {1: 5000, 2: 2500}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.int64, np.uint16])
def test_a_distribution_of_any_type_holds_every_value_once(dtype):
    values = np.random.default_rng(1).integers(0, 100, 1000).astype(dtype)
    found = distribution(values, whole=np.dtype(dtype).kind in "iu")
    assert (sum(found.counts), found.total) == (1000, float(values.sum(dtype=np.float64)))
    assert distribution(values[:0]) is None


def run(*arguments):
    import typer

    application = typer.Typer()
    application.command()(stats)
    return CliRunner().invoke(application, [str(argument) for argument in arguments])


def test_the_table_fits_80_columns(root):
    shown = run(root).stdout.splitlines()
    assert max(map(len, shown)) <= 80
    assert any(line.startswith("Clips") and "585" in line for line in shown)
    assert any(line.startswith("words a caption") for line in shown)


def test_json_holds_what_was_counted(root):
    found = json.loads(run(root, "--json", "--where", "language = 'zh'").stdout)
    assert found == json.loads(json.dumps(statistics(open_index(root), "language = 'zh'").to_json()))
    assert found["columns"]["language"]["values"] == {"zh": found["clips"]}


class Page(HTMLParser):
    """Every tag and attribute of a page, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.said = Counter(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.addresses += [value for name, value in attrs if name in ("src", "href", "action", "data", "xlink:href", "srcset")]

    def handle_data(self, data):
        self.said.append(data)


def test_the_page_asks_for_nothing_and_takes_no_value_for_markup(root, tmp_path):
    done = run(root, "--report", tmp_path / "out.html")
    text = (tmp_path / "out.html").read_text()
    read = Page(text)
    assert (done.exit_code, read.addresses, read.tags["script"], read.tags["link"]) == (0, [], 0, 0)
    assert not re.search(r"url\(|@import|//", text.replace(html.escape(SCRIPT), ""))
    assert SCRIPT in read.said
    assert read.tags["section"] == len(charts(statistics(open_index(root))))


def test_no_clip_is_said(root, tmp_path):
    manifests.create(tmp_path / "empty", open_index(root).space)
    for found in (statistics(open_index(root), "aesthetic > 99"), statistics(open_index(tmp_path / "empty"))):
        assert (found.clips, found.videos, found.hours, found.words) == (0, 0, None, None)
        assert any(line.startswith("Clips") for line in lines(found))
        assert "<h1>" in page(found)


def test_an_index_without_captions_says_none(tmp_path):
    made(tmp_path / "index", np.eye(4))
    assert any(line.startswith("Caption") and "none" in line for line in lines(statistics(open_index(tmp_path / "index"))))


def test_a_damaged_segment_is_left_out_and_said(root, tmp_path):
    made(tmp_path / "index", np.eye(4), np.eye(4))
    damaged = sorted((tmp_path / "index" / "segments").glob("*/columns.bin"))[0]
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    done = run(tmp_path / "index")
    assert (done.exit_code, statistics(open_index(tmp_path / "index")).clips) == (3, 4)
    assert "left out" in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--where", "nothing = 1"], "nothing"),
        (["--report", "out.pdf"], "give a name ending in"),
        (["--report", "nowhere/out.html"], "no folder"),
    ],
)
def test_what_cannot_be_counted_is_said(root, options, said):
    error = run(root, *options).exception
    assert said in str(error)
    assert "\n" not in str(error)


def test_an_unknown_column_is_an_error_of_the_filter(root):
    with pytest.raises(FilterError, match="nothing"):
        statistics(open_index(root), "nothing = 1")
