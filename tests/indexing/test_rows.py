import pyarrow as pa

from indexer.rows import clips_table, concatenate
from vidsearch.storage.quarantine import quarantine_table

CORE = {"clip_id": "c", "video": "v.mp4", "start_s": 0.0, "end_s": 1.0, "duration_s": 1.0}


def test_columns_that_some_rows_lack_are_null_there():
    table = clips_table([{**CORE, "caption": "x", "language": "en", "views": 3}, {**CORE, "aesthetic": 4.5, "views": 2.5}])
    assert table.to_pylist()[0] == {**CORE, "caption": "x", "language": "en", "views": 3.0, "aesthetic": None}
    assert table.schema.field("aesthetic").type == pa.float32()
    assert table.schema.field("views").type == pa.float64()


def test_a_column_of_unlike_values_becomes_text():
    table = clips_table([{**CORE, "tag": "a"}, {**CORE, "tag": 7}, {**CORE, "tag": 10**30}, {**CORE, "tag": True}])
    assert table["tag"].to_pylist() == ["a", "7", str(10**30), "true"]


def test_tables_with_unlike_columns_concatenate():
    first, second = clips_table([{**CORE, "tag": 1, "only": "x"}]), clips_table([{**CORE, "tag": "one"}])
    merged = concatenate([first, second])
    assert merged["tag"].to_pylist() == ["1", "one"]
    assert merged["only"].to_pylist() == ["x", None]


def test_no_rows_make_an_empty_table_of_the_right_columns():
    assert clips_table([]).num_rows == 0
    assert "clip_id" in clips_table([]).schema.names
    assert quarantine_table([]).num_rows == 0


def test_a_column_that_holds_nothing_in_one_table_keeps_its_type_of_the_other():
    first, second = clips_table([{**CORE, "views": None, "tag": None}]), clips_table([{**CORE, "views": 17, "tag": "x"}])
    merged = concatenate([first, second])
    assert merged["views"].to_pylist() == [None, 17]
    assert merged.schema.field("views").type == pa.int64()
