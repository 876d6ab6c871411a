"""The tokenizer gives the ids of CLIP's own, compared by value with open_clip's and with the reference's recorded ones."""

from __future__ import annotations

import html
import logging
import random
import re
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import ftfy
import numpy as np
import pytest
import regex
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vidsearch.encoders import _tokens
from vidsearch.encoders._tokens import Tokenizer, clean, clean_caption, clip_merges, format_merges, parse_merges, split_words
from vidsearch.errors import CheckpointError, InputNotFoundError, UsageError

FIXTURE = Path(__file__).parents[1] / "fixtures" / "expected_b16.npz"
REFERENCE_TEXTS = [
    "A man in a gray sweater plays fetch with his dog in the snowy yard, throwing a toy and watching it run.",
    "playing guitar",
    "Une fille joue du piano \u2014 caf\u00e9 \U0001f3b9 &amp; th\u00e9",
]
ODD_TEXTS = [
    "",
    "   \t\n ",
    "it's they'RE don't WE'LL 'ſ",
    "a&amp;amp;lt;b &lt;person&gt; &#233; &notanentity;",
    "schÃ¶n â€œquotedâ€\x9d ﬁne ｆｕｌｌ width",
    "naïve façade 北京欢迎你 привет мир नमस्ते 👩‍👩‍👧‍👦🏽",
    "3.14159 2023-07-13 ½ ² Ⅳ ٣",
    "snake_case __dunder__ C++ #hashtag @user https://example.org/?q=1&r=2",
    "\ud800 lone surrogate",
    "line\r\nbreak\u2028separator\x1cfile\x00null\x07bell\x1b[31mred",
    "x" * 400,
    "ﷺ ß ẞ İstanbul ǅ",
]
MERGES = (("a", "b"), ("ab", "c</w>"), ("d", "o"), ("do", "g</w>"))

WORDS = ["dog", "surf", "it's", "&amp;", "é", "北", "1", "23", "--", "_", "👍", "<b>", "\t"]
texts = st.text(max_size=60) | st.lists(st.sampled_from(WORDS), max_size=20).map(" ".join)


@pytest.fixture(scope="module")
def clip_tokenizer() -> Tokenizer:
    return Tokenizer(clip_merges(), context_length=32)


@pytest.fixture(scope="module")
def peer():
    """open_clip's tokenizer from its one file: importing the whole package takes 20 seconds."""
    package = find_spec("open_clip")
    if package is None:
        pytest.skip("open_clip is not installed")
    spec = spec_from_file_location("open_clip_tokenizer", Path(package.origin).with_name("tokenizer.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SimpleTokenizer(context_length=32)


def test_encode_gives_the_reference_ids(clip_tokenizer):
    np.testing.assert_array_equal(clip_tokenizer.encode(REFERENCE_TEXTS), np.load(FIXTURE)["tokens"])
    assert clip_tokenizer.vocab_size == 49_408


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=texts.filter(lambda text: "_of_text>" not in text.lower()))
def test_encode_agrees_with_open_clip_on_generated_text(clip_tokenizer, peer, text):
    np.testing.assert_array_equal(clip_tokenizer.encode([text]), peer([text]).numpy(), err_msg=repr(text))


def test_encode_agrees_with_open_clip_on_odd_and_random_text(clip_tokenizer, peer):
    rng = random.Random(7)
    alphabets = [(32, 127), (160, 592), (0x400, 0x500), (0x4E00, 0x4F00), (0x1F300, 0x1F6FF), (0x900, 0x97F), (1, 0x3000)]
    soup = ["".join(chr(rng.randrange(*rng.choice(alphabets))) for _ in range(rng.randrange(50))) for _ in range(1500)]
    np.testing.assert_array_equal(clip_tokenizer.encode(ODD_TEXTS + soup), peer(ODD_TEXTS + soup).numpy())


@pytest.mark.parametrize("literal", ["<|endoftext|>", "<|startoftext|>", "<end_of_text>", "<start_of_text>", "<|EndOfText|>"])
def test_encode_takes_special_tokens_in_a_text_as_plain_text(clip_tokenizer, literal):
    row = clip_tokenizer.encode([f"a {literal} b"])[0]
    assert (row == clip_tokenizer.start).sum() == 1
    assert (row == clip_tokenizer.end).sum() == 1
    assert row[row.argmax() - 1] == clip_tokenizer.encode(["b"])[0, 1]


def test_encode_cuts_a_long_text_and_says_so_once(caplog):
    tokenizer = Tokenizer(MERGES, context_length=4)
    with caplog.at_level(logging.WARNING):
        rows = tokenizer.encode(["dog dog", "dog dog dog", "dog dog dog dog"])
    dog = tokenizer.encode(["dog"])[0, 1]
    np.testing.assert_array_equal(rows, [[tokenizer.start, dog, dog, tokenizer.end]] * 3)
    assert [record.message for record in caplog.records] == ["a text of 5 tokens is cut to the model's 4: dog dog dog…"]


def test_encode_merges_in_order_of_rank():
    tokenizer = Tokenizer(MERGES, context_length=8)
    assert tokenizer.vocab_size == 512 + 4 + 2
    assert tokenizer.encode(["abc dog do"])[0].tolist() == [516, 513, 515, ord("d") - 33, 256 + ord("o") - 33, 517, 0, 0]


def test_encode_of_nothing_has_no_rows():
    assert Tokenizer(MERGES, context_length=8).encode([]).shape == (0, 8)


@pytest.mark.parametrize("wrong", ["one string", [None], [b"bytes"], [3]])
def test_encode_refuses_what_is_not_a_sequence_of_strings(wrong):
    with pytest.raises(UsageError, match="texts must be a sequence of strings"):
        Tokenizer(MERGES, context_length=8).encode(wrong)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.text(alphabet=st.characters(max_codepoint=127), max_size=60))
def test_the_ascii_short_cuts_change_nothing(text):
    repaired = html.unescape(html.unescape(ftfy.fix_text(text)))
    assert clean(text) == " ".join(repaired.split()).lower()
    whole = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+", regex.IGNORECASE)
    assert split_words(clean(text)) == whole.findall(clean(text))


def test_clean_caption_is_the_published_one():
    text = 'A <person> says: "Well-known, half/half!" (really)  #1;~ \n'
    published = re.sub(r"([,.'!?\"()*#:;~])", "", text.lower()).replace("-", " ").replace("/", " ").replace("<person>", "person")
    assert clean_caption(text) == re.sub(r"\s{2,}", " ", published).strip() == "a person says well known half half really 1"


def test_merges_round_trip():
    assert parse_merges(format_merges(MERGES)) == MERGES
    with pytest.raises(CheckpointError, match="two symbols a line"):
        parse_merges("a b c")


def test_clip_merges_refuses_another_vocabulary(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDSEARCH_MODELS", str(tmp_path))
    (tmp_path / _tokens.CLIP_VOCABULARY).write_bytes(b"not it")
    with pytest.raises(CheckpointError, match="is not CLIP's vocabulary"):
        clip_merges()


def test_clip_merges_says_where_to_put_a_missing_vocabulary(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDSEARCH_MODELS", str(tmp_path))
    monkeypatch.setattr(_tokens, "find_spec", lambda name: None)  # a machine without open_clip
    with pytest.raises(InputNotFoundError, match=re.escape(f"put it into {tmp_path}")):
        clip_merges()
