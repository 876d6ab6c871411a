"""Rows in every format that people hold them in: what a reader makes of them, sound, odd and hostile."""

import csv
import gzip
import io
import json
import math
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from indexer.readers import internvid
from indexer.readers._json_array import as_lines, is_array
from indexer.readers._lines import MAX_LINE_BYTES, cut_lines
from indexer.readers._streams import CutShort
from indexer.readers._times import key_parts, parse_seconds, parse_times
from indexer.readers.base import BadRow, clip_key
from vidsearch.errors import UsageError

ROW = {
    "YoutubeID": "HdYoyzCSWyw",
    "Start_timestamp": "00:03:10.567",
    "End_timestamp": "00:03:11.200",
    "Caption": 'a woman, "typing" – 速い',
}
ENDINGS = [".jsonl", ".json", ".csv", ".tsv", ".parquet"]
COMPRESSED = ["", ".gz", ".zst"]
TEXTS = [(ending, compressed) for ending in ENDINGS if ending != ".parquet" for compressed in COMPRESSED]
KINDS = [*TEXTS, (".parquet", "")]


def written(folder: Path, rows: list[dict], ending: str, compressed: str = "") -> Path:
    """Write rows as one of the formats; they have the same keys."""
    path = folder / f"rows{ending}{compressed}"
    if ending == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path
    text = io.StringIO()
    if ending == ".jsonl":
        text.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    elif ending == ".json":
        json.dump(rows, text, indent=1)
    else:
        writer = csv.DictWriter(text, rows[0].keys(), delimiter="\t" if ending == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)
    return packed(path, text.getvalue().encode())


def packed(path: Path, data: bytes) -> Path:
    if path.suffix == ".gz":
        data = gzip.compress(data, mtime=0)
    elif path.suffix == ".zst":
        data = pa.Codec("zstd").compress(data, asbytes=True)
    path.write_bytes(data)
    return path


def read(path: Path) -> tuple[list[dict], list[BadRow]]:
    clips, bad = [], []
    for block in internvid.read(path, path.parent):
        block.clips.validate(full=True)
        clips += block.clips.to_pylist()
        bad += block.bad
    return clips, bad


def read_bytes(folder: Path, name: str, data: bytes) -> tuple[list[dict], list[BadRow]]:
    (folder / name).write_bytes(data)
    return read(folder / name)


def lines(*rows: dict | str) -> bytes:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode()


def details(bad: list[BadRow]) -> list[str]:
    assert {row.reason for row in bad} <= {"METADATA_INVALID"}
    return [row.detail for row in bad]


# What the data sets hold


@pytest.mark.parametrize(("ending", "compressed"), KINDS)
def test_a_row_is_the_same_in_every_format(ending, compressed, tmp_path):
    row = {**ROW, "Aesthetic_Score": "4.5", "UMT_Score": "0.375", "Views": 7, "Live": True, "Rate": 0.1}
    path = written(tmp_path, [row, {**row, "Caption": "x" * 1110, "Live": False}], ending, compressed)
    assert internvid.recognises(path)
    (first, second), bad = read(path)
    assert not bad
    assert first == {
        "key": clip_key("HdYoyzCSWyw", 190.567, 191.2),
        "video": "HdYoyzCSWyw",
        "there": False,
        "start_s": 190.567,
        "end_s": 191.2,
        "youtube_id": "HdYoyzCSWyw",
        "caption": ROW["Caption"],
        "aesthetic": 4.5,
        "umt_score": 0.375,
        "Views": 7,
        "Live": True,
        "Rate": 0.1,
        "source_start_s": 190.567,
        "source_end_s": 191.2,
    }
    assert second["caption"] == "x" * 1110


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({**ROW, "CLIP_Score": 0.3}, {"clip_score": pytest.approx(0.3)}),
        ({**ROW, "Language": "en", "Category": "Gaming"}, {"language": "en", "type": "Gaming"}),
        ({**ROW, "language": "en", "category": None}, {"language": "en", "type": None}),
        ({**ROW, "LANG": 3, "Type": 7}, {"language": "3", "type": "7"}),
        ({**ROW, "Aesthetic_Score": None, "UMT_Score": float("nan")}, {"aesthetic": None, "umt_score": None}),
        ({"videoID": "HdYoyzCSWyw", "start_sec": 1.25, "end_sec": 2, "caption": "c"}, {"start_s": 1.25, "end_s": 2.0, "caption": "c"}),
        ({"video": "HdYoyzCSWyw", "original_internvid": "c", "llm": ["d", {"e": 1}]}, {"caption": "c", "llm": '["d", {"e": 1}]'}),
        ({"video": "v/a.mp4", "caption": "c", "youtube_id": None}, {"video": "v/a.mp4", "key": "v/a.mp4|0.000|end", "end_s": None}),
        ({**ROW, "lang": "a", "Language": "b"}, {"language": "b", "lang": "a"}),
        ({**ROW, "key": "k", "clip_id": "c", "duration_s": 3}, {"key": clip_key("HdYoyzCSWyw", 190.567, 191.2)}),
    ],
)
def test_the_fields_of_every_release_are_known(row, expected, tmp_path):
    (clip,), bad = read_bytes(tmp_path, "rows.jsonl", lines(row))
    assert not bad
    assert {name: clip[name] for name in expected} == expected
    assert not {"clip_id", "duration_s"} & clip.keys()


def test_byte_order_marks_line_ends_and_empty_lines_do_no_harm(tmp_path):
    data = b"\xef\xbb\xbf" + lines(ROW).replace(b"\n", b"\r\n") + b"\r\n  \n" + lines(ROW, "{broken").removesuffix(b"\n")
    clips, bad = read_bytes(tmp_path, "rows.jsonl", data)
    assert [clip["youtube_id"] for clip in clips] == ["HdYoyzCSWyw"] * 2
    assert [detail.partition(": ")[0] for detail in details(bad)] == ["rows.jsonl:5"]
    (clip,), bad = read_bytes(tmp_path, "rows.csv", b"\xef\xbb\xbfYoutubeID,Caption\r\nHdYoyzCSWyw,c\r\n")
    assert (clip["key"], clip["caption"], bad) == ("HdYoyzCSWyw|0.000|end", "c", [])


def test_ten_thousand_rows_keep_their_line_numbers(tmp_path):
    rows = [{**ROW, "Start_timestamp": "later"} if number % 1000 == 7 else ROW for number in range(1, 10_001)]
    clips, bad = read_bytes(tmp_path, "rows.jsonl", b"\n" + lines(*rows))
    assert len(clips) == 9_990
    assert [detail.partition(": ")[0] for detail in details(bad)] == [f"rows.jsonl:{number + 1}" for number in range(7, 10_000, 1000)]
    assert "column 'Start_timestamp': time 'later' is neither" in bad[0].detail


def test_the_first_block_comes_before_the_file_is_read(tmp_path):
    with (tmp_path / "rows.jsonl").open("wb") as file:
        file.write(lines(ROW) * 40_000)
        file.write(b"\xff" * 4_000_000)
    blocks = internvid.read(tmp_path / "rows.jsonl", tmp_path)
    first = next(blocks)
    assert 0 < first.clips.num_rows < 40_000
    assert first.bad == []
    rest = list(blocks)
    assert first.clips.num_rows + sum(block.clips.num_rows for block in rest) == 40_000
    assert "4,000,000 bytes long" in rest[-1].bad[0].detail


# What goes wrong


@pytest.mark.parametrize(
    "line",
    [
        "{broken",
        "[1]",
        '"text"',
        "[" * 10_000 + "]" * 10_000,
        '{"a":' * 10_000 + "1" + "}" * 10_000,
        '{"YoutubeID": ' + "9" * 5_000 + "}",
        '{"YoutubeID": "HdYoyzCSWyw", "Caption": "x\0y"}',
        '{"Caption": "no video"}',
        '{"YoutubeID": "HdYoyzCSWyw", "Start_timestamp": "00:00:05.000", "End_timestamp": "00:00:05.000"}',
        '{"YoutubeID": "HdYoyzCSWyw", "Start_timestamp": 1e300}',
        '{"YoutubeID": "HdYoyzCSWyw", "Start_timestamp": [1]}',
        '{"YoutubeID": "HdYoyzCSWyw", "Aesthetic_Score": "pretty"}',
        '{"YoutubeID": "HdYoyzCSWyw", "Aesthetic_Score": true}',
        '{"YoutubeID": "HdYoyzCSWyw", ' + ", ".join(f'"{number}": 1' for number in range(300)) + "}",
        '{"YoutubeID": "' + "x" * MAX_LINE_BYTES + '"}',
    ],
    ids=lambda line: line[:24],
)
def test_a_line_that_is_no_row_costs_that_line(line, tmp_path):
    clips, bad = read_bytes(tmp_path, "rows.jsonl", lines(ROW, line, ROW))
    assert len(clips) == 2
    assert [detail.startswith("rows.jsonl:2: ") for detail in details(bad)] == [True]


@pytest.mark.parametrize(
    "line",
    [
        '{"YoutubeID": "HdYoyzCSWyw", "Caption": "\\ud800 half a pair"}',
        '{"YoutubeID": "HdYoyzCSWyw", "\\ud800": 1}',
        '{"YoutubeID": "HdYoyzCSWyw", "Caption": "a \\u0000 in it"}',
        '{"YoutubeID": "HdYoyzCSWyw", "Aesthetic_Score": NaN, "UMT_Score": Infinity}',
        '{"YoutubeID": "HdYoyzCSWyw", "Views": 99999999999999999999}',
        '{"YoutubeID": "HdYoyzCSWyw", "Views": 1e999}',
        '{"YoutubeID": 12345678901, "Caption": 3}',
        '{"YoutubeID": "HdYoyzCSWyw", "Caption": {"en": "x"}}',
        '{"YoutubeID": "HdYoyzCSWyw", "YoutubeID": "_dYoyzCSWyw"}',
        '{"YoutubeID": "HdYoyzCSWyw", "": 1, "Unnamed: 0": "x"}',
    ],
)
def test_an_odd_line_is_a_row_all_the_same(line, tmp_path):
    clips, bad = read_bytes(tmp_path, "rows.jsonl", lines(ROW, line, ROW))
    assert (len(clips), bad) == (3, [])
    assert clips[1]["youtube_id"] in {"HdYoyzCSWyw", "_dYoyzCSWyw", "12345678901"}
    assert clips[1].get("aesthetic") is None


def test_text_that_is_not_utf8_costs_its_row(tmp_path):
    row = json.dumps({**ROW, "Caption": "caf\xe9"}, ensure_ascii=False)
    clips, bad = read_bytes(tmp_path, "rows.jsonl", lines(ROW) + row.encode("latin-1") + b"\n" + lines(ROW))
    assert len(clips) == 2
    assert "rows.jsonl:2" in details(bad)[0]
    clips, bad = read_bytes(tmp_path, "rows.csv", "YoutubeID,Caption\nHdYoyzCSWyw,a\n_dYoyzCSWyw,caf\xe9\n".encode("latin-1"))
    assert len(clips) == 1
    assert details(bad) == ["rows.csv:3: column 'Caption' is not UTF-8; save the file as UTF-8"]


def test_a_csv_row_that_does_not_fit_is_told_with_its_line(tmp_path):
    data = 'YoutubeID,Caption\na__________,"two\nlines"\nb__________,x,y\nc__________\n\nd__________,ok\n'
    data += 'e__________,"not closed\nf__________,ok\n'
    clips, bad = read_bytes(tmp_path, "rows.csv", data.encode())
    assert [(clip["youtube_id"][0], clip["caption"]) for clip in clips] == [("a", "two\nlines"), ("d", "ok"), ("f", "ok")]
    assert [detail.partition(": ")[0] for detail in details(bad)] == ["rows.csv:4", "rows.csv:5", "rows.csv:8"]
    assert "3 columns in place of 2" in bad[0].detail


def test_a_csv_with_a_column_named_twice_is_refused(tmp_path):
    (tmp_path / "rows.csv").write_text("YoutubeID,Caption,Caption\n")
    with pytest.raises(UsageError, match=r"rows.csv:1: columns 2 and 3 are both called 'Caption'"):
        read(tmp_path / "rows.csv")


def test_the_types_of_a_csv_column_are_those_all_its_values_have(tmp_path):
    data = b"YoutubeID,Caption,n,f,b,zip,mix\n" + b"".join(
        b"HdYoyzCSWyw,c%d,%d,%s,%s,0%d,%s\n" % (n, n, b"1.5" if n else b"", b"True" if n % 2 else b"false", n, b"7" if n else b"x")
        for n in range(3)
    )
    clips, _ = read_bytes(tmp_path, "rows.csv", data)
    assert [[clip[name] for name in ("n", "f", "b", "zip", "mix")] for clip in clips] == [
        [0, None, False, "00", "x"],
        [1, 1.5, True, "01", "7"],
        [2, 1.5, False, "02", "7"],
    ]


@pytest.mark.parametrize("compressed", [".gz", ".zst"])
def test_a_stream_that_is_cut_short_gives_its_first_rows_and_says_that_the_rest_is_missing(compressed, tmp_path):
    captions = [f"{number * 7919 % 100_003} {number}" for number in range(30_000)]
    path = packed(tmp_path / f"rows.jsonl{compressed}", lines(*({"YoutubeID": "HdYoyzCSWyw", "Caption": caption} for caption in captions)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    clips, bad = read(path)
    assert [clip["caption"] for clip in clips] == captions[: len(clips)]
    assert len(clips) < len(captions)
    assert "the rest of the file is missing" in bad[-1].detail
    path.write_bytes(whole[: len(whole) // 2] + bytes(50) + whole[len(whole) // 2 :])
    assert "the rest of the file is missing" in read(path)[1][-1].detail


@pytest.mark.parametrize("data", [b"[", b'[{"a": 1}', b'[{"a": 1}] x', b'[{"a": "1}]', b'[{"a": 1}, {"a": [}]'])
def test_an_array_that_does_not_end_says_so(data, tmp_path):
    _, bad = read_bytes(tmp_path, "rows.json", data)
    assert "the rest of the file is missing" in details(bad)[-1]


def test_a_broken_record_of_an_array_costs_that_record(tmp_path):
    (clip,), bad = read_bytes(tmp_path, "rows.json", b'[{"video": "a.mp4", x},\n' + lines({"video": "b.mp4", "caption": "b"}) + b"]")
    assert clip["video"] == "b.mp4"
    assert "rows.json:1: not a JSON object" in details(bad)[0]


def test_parquet_columns_become_what_an_index_can_keep(tmp_path, caplog):
    table = pa.table(
        {
            "YoutubeID": pa.array(["HdYoyzCSWyw"]).dictionary_encode(),
            "Start_timestamp": pa.array([timedelta(milliseconds=190_567)], pa.duration("ns")),
            "End_timestamp": pa.array([200_000], pa.time32("ms")),
            "small": pa.array([3], pa.uint8()),
            "large": pa.array([2**64 - 1], pa.uint64()),
            "half": pa.array([1.5], pa.float32()),
            "day": pa.array([date(2024, 1, 2)]),
            "price": pa.array([Decimal("1.25")]),
            "tags": pa.array([["a", "b"]]),
            "map": pa.array([{"a": 1}]),
            "thumbnail": pa.array([b"\xff"]),
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    (clip,), bad = read(tmp_path / "rows.parquet")
    assert not bad
    assert (clip["start_s"], clip["end_s"], clip["small"], clip["large"]) == (190.567, 200.0, 3, str(2**64 - 1))
    assert (clip["half"], clip["day"], clip["price"]) == (1.5, "2024-01-02", "1.25")
    assert (clip["tags"], clip["map"], "thumbnail" in clip) == ('["a", "b"]', '{"a": 1}', False)
    assert "columns of bytes are left out: thumbnail" in caplog.text


def test_a_parquet_footer_that_promises_too_much_is_refused_before_anything_is_read(tmp_path, monkeypatch):
    path = written(tmp_path, [ROW] * 1000, ".parquet")
    monkeypatch.setattr("indexer.readers._parquet.MAX_GROUP_BYTES", 100)
    with pytest.raises(UsageError, match=r"row group 0 takes .* at most 100: write smaller row groups"):
        read(path)
    monkeypatch.undo()
    monkeypatch.setattr("indexer.readers._parquet.MAX_EXPANSION", 0)
    with pytest.raises(UsageError, match=r"its footer is wrong: row group 0 would hold 1,000 rows"):
        read(path)


def test_a_damaged_page_costs_what_follows_it(tmp_path):
    table = pa.Table.from_pylist([{**ROW, "Caption": f"caption {number}"} for number in range(60_000)])
    path = tmp_path / "rows.parquet"
    pq.write_table(table, path, row_group_size=20_000, compression="zstd", use_dictionary=False)
    data = bytearray(path.read_bytes())
    middle = pq.ParquetFile(path).metadata.row_group(1).column(3).data_page_offset + 40
    data[middle : middle + 2000] = bytes(2000)
    path.write_bytes(data)
    clips, bad = read(path)
    assert {int(clip["caption"].split()[1]) // 20_000 for clip in clips} >= {0, 2}
    assert 40_000 <= len(clips) < 60_000
    assert "up to row 40000 are missing" in details(bad)[0]


# Round trips

VALUES = {
    "YoutubeID": st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0189_-", min_size=11, max_size=11),
    "Start_timestamp": st.integers(0, 3_599_999).map(lambda ms: f"00:{ms // 60_000:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"),
    "Caption": st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60),
    "Aesthetic_Score": st.floats(-1, 9.5, width=16),
    "n": st.integers(-(2**40), 2**40),
}


@pytest.mark.parametrize("ending", ENDINGS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.fixed_dictionaries(VALUES), min_size=1, max_size=20), compressed=st.sampled_from(COMPRESSED))
def test_rows_come_back_as_they_were_written(ending, rows, compressed, tmp_path):
    clips, bad = read(written(tmp_path, rows, ending, compressed if ending != ".parquet" else ""))
    assert not bad
    for row, clip in zip(rows, clips, strict=True):
        start = parse_seconds(row["Start_timestamp"])
        assert clip["key"] == clip_key(row["YoutubeID"], start, None)
        assert (clip["youtube_id"], clip["start_s"], clip["caption"]) == (row["YoutubeID"], start, row["Caption"])
        assert (clip["aesthetic"], clip["n"]) == (row["Aesthetic_Score"], row["n"])


@settings(max_examples=60, deadline=None)
@given(
    records=st.lists(st.dictionaries(st.text(max_size=5), st.recursive(st.text(), lambda inner: st.lists(inner, max_size=3))), max_size=8),
    size=st.integers(4, 40),
    indent=st.sampled_from([None, 1]),
)
@example(records=[{"a\\": '\\"]}{['}, {}, {'"': ["\\\\"]}], size=1, indent=None)
def test_an_array_becomes_lines_wherever_its_chunks_end(records, size, indent):
    data = f" {json.dumps(records, indent=indent, ensure_ascii=False)}\n".encode()
    chunks = [data[begin : begin + size] for begin in range(0, len(data), size)]
    made = b"".join(as_lines(chunks))
    assert [json.loads(line) for line in made.split(b"\n") if line.strip()] == records
    assert is_array(data)


@settings(max_examples=200, deadline=None)
@given(data=st.lists(st.sampled_from([b"\n", b"{}", b"x" * 5, b"y" * 40]), max_size=40).map(b"".join), size=st.integers(1, 30))
def test_lines_keep_their_numbers_wherever_chunks_end(data, size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("indexer.readers._lines.MAX_LINE_BYTES", 20)
        blocks = list(cut_lines(data[begin : begin + size] for begin in range(0, len(data), size)))
    seen = {}
    for block in blocks:
        parts = block.data.split(b"\n")[: block.count]
        seen |= dict(enumerate(parts, block.first))
        seen |= dict(block.too_long)
    whole = data.split(b"\n")
    whole = whole if whole[-1] else whole[:-1]
    assert seen == {number: line if len(line) < 20 else len(line) for number, line in enumerate(whole, 1)} or any(
        len(line) == 20 for line in whole
    )


def test_a_stream_that_ends_inside_an_array_is_told_apart():
    with pytest.raises(CutShort, match="does not end"):
        list(as_lines([b'[{"a": "', b'x"}, ']))
    with pytest.raises(CutShort, match="follows the end"):
        list(as_lines([b"[] ", b"[]"]))


# Times


@settings(max_examples=150, deadline=None)
@given(
    values=st.lists(
        st.one_of(st.none(), st.text("0123456789:_-. e", max_size=13), st.from_regex(r"\d\d[:_-]\d\d[:_-]\d\d\.\d{3}", fullmatch=True))
    )
)
@example(values=["00:03:10.567", "1:2:3", "12.5", "", " 00:00:01.5 ", "99:99:99.999", "٠٠:٠٠:٠١.٠٠٠", "-1", "nan"])
def test_a_column_of_times_is_read_as_each_of_them_is(values):
    seconds, wrong = parse_times(pa.array(values, pa.string()))
    for row, value in enumerate(values):
        try:
            expected = parse_seconds(value)
        except ValueError as error:
            assert str(error) == wrong[row]  # noqa: PT017, both ways must fail alike
            expected = None
        assert seconds[row] == expected or (expected is None and math.isnan(seconds[row]))


@settings(max_examples=150, deadline=None)
@given(
    values=st.lists(
        st.one_of(st.floats(0, 1e6), st.integers(0, 10**9).map(lambda ms: ms / 1000), st.integers(0, 2**20).map(lambda n: n / 2**11))
    )
)
@example(values=[0.0005, 1.0005, 2.5e-4, 0.1 + 0.2, 1.23456])
def test_parts_of_keys_are_written_as_clip_key_does(values):
    parts = key_parts(parse_times(pa.array(values, pa.float64()))[0])
    assert parts.to_pylist() == [clip_key("", value, None).split("|")[1] for value in values]
