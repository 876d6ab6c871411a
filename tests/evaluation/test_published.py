"""Published numbers, and reports of measured ones."""

from __future__ import annotations

import json

import pytest

from vidsearch.catalogue import MODELS
from vidsearch.config import Space, viclip_preset
from vidsearch.errors import InputNotFoundError, UsageError
from vidsearch.evaluation.published import TABLE_1, TABLE_5, TABLE_11, beside, find, name_of
from vidsearch.evaluation.report import Report, Table, check_report_path, print_report, to_json, to_markdown, write_report

NAMES = {"t2v_r1": "text→video R@1", "v2t_r1": "video→text R@1"}


def space(model: str, source: str = "") -> Space:
    return Space("viclip", model, "0" * 64, 1, viclip_preset("eval"), 768, source)


def test_tables_agree_with_the_list_of_models():
    """The catalogue holds the same numbers, typed apart."""
    known = {model.name: model for model in MODELS}
    assert (TABLE_1.keys() | TABLE_5.keys() | TABLE_11.keys()) <= known.keys()
    for name, row in TABLE_1.items():
        assert row[0] == (known[name].k400_top1, known[name].k400_avg)
    for name, row in (TABLE_5 | TABLE_11).items():
        assert row[0] == (known[name].msrvtt_t2v, known[name].msrvtt_v2t)


def test_top5_follows_from_the_average():
    (found,) = find("zeroshot", "kinetics400", space("ViCLIP-L_InternVid-FLT-10M"))
    assert found.values == {"top1": 64.80, "top5": 86.60, "avg": 75.70}
    (eva,) = find("zeroshot", "kinetics700", space("EVA02-L-14/merged2b_s4b_b131k", "open_clip:EVA02-L-14/merged2b_s4b_b131k"))
    assert eva.values == {"avg": 59.10}


def test_weights_without_numbers_stand_beside_the_nearest_and_are_called_so():
    found = find("retrieval", "msrvtt", space("ViCLIP-L-14-hf", "/models/ViCLIP-L-14-hf.safetensors"))
    assert [one.label for one in found] == ["published for ViCLIP-L_InternVid-FLT-10M", "reported by users"]
    table = beside({"t2v_r1": 39.449, "v2t_r1": 38.9}, found, NAMES)
    assert table is not None
    assert table.rows[0] == ("text→video R@1", 39.45, 42.4, -2.95, "published for ViCLIP-L_InternVid-FLT-10M")
    assert [row[3] for row in table.rows] == [-2.95, -2.4, 0.05, 0.0]


@pytest.mark.parametrize(
    ("model", "dataset"), [("mine", "msrvtt"), ("ViCLIP-L_InternVid-FLT-10M", "rows.csv"), ("ViCLIP-B_InternVid-200M", "msvd")]
)
def test_nothing_is_published_for_other_weights_and_data(model, dataset):
    assert find("retrieval", dataset, space(model)) == ()
    assert beside({"t2v_r1": 1.0}, (), NAMES) is None


def test_a_model_is_known_by_its_name_or_that_of_its_file():
    assert name_of(space("anything", "/a/ViCLIP-L_InternVid-DIV-10M.safetensors")) == "ViCLIP-L_InternVid-DIV-10M"
    assert name_of(space("ViT-L-14/openai", "open_clip:ViT-L-14/openai")) == "CLIP-L-14-OpenAI"
    assert name_of(space("demo-viclip", "demo-viclip")) is None


REPORT = Report(
    "Retrieval",
    {"model": "a | b", "clips": 1234},
    (Table("first", ("measure", "here", "difference"), (("R@1", 12.345, 1.5), ("R@5", None, -2.0)), signed=("difference",)),),
    ("A note.",),
)


def test_a_report_as_markdown_json_and_on_the_terminal(tmp_path, capsys):
    assert to_markdown(REPORT) == (
        "# Retrieval\n\n- model: a \\| b\n- clips: 1,234\n\n## first\n\n| measure | here | difference |\n| --- | ---: | ---: |\n"
        "| R@1 | 12.35 | +1.50 |\n| R@5 | – | -2.00 |\n\n- A note.\n"
    )
    value = json.loads(to_json(REPORT))
    assert value["tables"][0]["rows"] == [
        {"measure": "R@1", "here": 12.345, "difference": 1.5},
        {"measure": "R@5", "here": None, "difference": -2},
    ]
    write_report(REPORT, tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8")) == value
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]
    print_report(REPORT)
    printed = capsys.readouterr().out
    assert [word in printed for word in ("Retrieval", "1,234", "12.35", "+1.50", "A note.")] == [True] * 5
    assert max(map(len, printed.splitlines())) <= 80


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path):
    with pytest.raises(UsageError, match=r"out.txt is not understood; give a name ending in .md or .json"):
        check_report_path(tmp_path / "out.txt")
    with pytest.raises(InputNotFoundError, match=r"no folder .*none"):
        check_report_path(tmp_path / "none" / "out.md")
    with pytest.raises(UsageError, match="every row must have 1 cells"):
        Table("t", ("a",), (("b", 1),))
