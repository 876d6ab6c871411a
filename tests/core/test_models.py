"""Weights come from the hub whole or not at all: resumed, checked, converted; every failure is one line."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save
from support.hub import serving
from support.weights import TINY, seeded_viclip
from typer.testing import CliRunner

from vidsearch.catalogue import CLIP, MODELS, OPEN_CLIP_FILES, OTHER_VICLIP, VICLIP, HubFile, find, published, published_or_refuse
from vidsearch.encoders import _tokens, load_encoder
from vidsearch.encoders._checkpoint import read_text_checkpoint
from vidsearch.errors import CheckpointError, InputNotFoundError, UsageError, VidsearchError
from vidsearch.hub import fetch
from vidsearch.models import Pulled, pull
from vidsearch.models_cli import app
from vidsearch.settings import Settings

TOKEN = "hf_secretsecretsecret"
L14 = "OpenGVLab/ViCLIP-L-14-hf/model.safetensors"
FILE = HubFile("org/repo", "weights.bin")
CONTENT = np.random.default_rng(0).bytes(300_000)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("VIDSEARCH_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 65_536)  # what is lost at most when a transfer breaks off
    with serving() as hub:
        hub.files["org/repo/weights.bin"] = CONTENT
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub


@pytest.fixture
def settings(hub, tmp_path):
    return Settings(models=tmp_path / "models", hub_endpoint=hub.endpoint)


@pytest.fixture(scope="module")
def published_weights():
    """A tiny ViCLIP with CLIP's whole vocabulary, as the -hf repositories hold it: no metadata."""
    return save(seeded_viclip(TINY | {"vocab_size": 49_408}))


# --- the catalogue


def test_the_catalogue_holds_the_eight_trainings_and_names_no_model_twice():
    assert len(VICLIP) == 8
    names = [name.lower() for model in MODELS for name in {model.name, model.source}]
    assert len(names) == len(set(names))
    assert [model.name for model in MODELS if model.sha256] == ["ViCLIP-L_InternVid-FLT-10M", "ViClip-InternVid-10M-FLT"]


def test_published_numbers_are_the_papers():
    best = published("viclip-l_internvid-flt-10m")
    assert (best.k400_top1, best.k400_avg, best.msrvtt_t2v, best.msrvtt_v2t) == (64.80, 75.70, 42.4, 41.3)
    assert published("ViCLIP-B_InternVid-200M").msrvtt_t2v is None
    assert published("open_clip:ViT-L-14/openai").name == "CLIP-L-14-OpenAI"


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UsageError, match=r"unknown model 'ViCLIP-L14'; did you mean ViCLIP-L-14-hf"):
        published_or_refuse("ViCLIP-L14")
    with pytest.raises(UsageError, match="see: vidsearch models list"):
        published_or_refuse("xyzzy")


def test_find_looks_in_the_models_folder(tmp_path):
    assert find("CLIP-L-14-OpenAI", tmp_path) is None
    (tmp_path / "open_clip").mkdir()
    for name in ("open_clip/ViT-L-14--openai.safetensors", "ViCLIP-L_WebVid-10M.pth"):
        (tmp_path / name).touch()
    assert (
        find("clip-l-14-openai", tmp_path)
        == find("open_clip:ViT-L-14/openai", tmp_path)
        == tmp_path / "open_clip/ViT-L-14--openai.safetensors"
    )
    assert find("open_clip:ViT-L-14/OpenAI", tmp_path) == find("clip-l-14-openai", tmp_path)
    assert find("viclip-l_webvid-10m", tmp_path) == tmp_path / "ViCLIP-L_WebVid-10M.pth"


# --- downloads


def test_fetch_brings_the_bytes_and_leaves_nothing_else(settings, tmp_path):
    target = fetch(FILE, tmp_path / "a" / "b.bin", settings=settings, by_hand="")
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


def test_fetch_resumes_where_an_earlier_call_broke_off(hub, settings, tmp_path):
    target = tmp_path / "weights.bin"
    hub.break_after = 200_000
    with pytest.raises(InputNotFoundError, match="broke off after 196,608 bytes; run the same again"):
        fetch(FILE, target, settings=settings, by_hand="")
    assert not target.exists()
    hub.break_after, hub.down = None, False
    hub.requests.clear()
    assert fetch(FILE, target, settings=settings, by_hand="").read_bytes() == CONTENT
    assert hub.transfers == ["bytes=196608-"]


def test_fetch_begins_anew_when_the_file_on_the_hub_has_changed(hub, settings, tmp_path):
    hub.break_after = 200_000
    with pytest.raises(InputNotFoundError, match="broke off"):
        fetch(FILE, tmp_path / "weights.bin", settings=settings, by_hand="")
    hub.break_after, hub.down = None, False
    hub.requests.clear()
    hub.files["org/repo/weights.bin"] = CONTENT[::-1]
    assert fetch(FILE, tmp_path / "weights.bin", settings=settings, by_hand="").read_bytes() == CONTENT[::-1]
    assert hub.transfers == [None]


def test_fetch_asks_nothing_for_what_is_there(hub, settings, tmp_path):
    (tmp_path / "weights.bin").touch()
    fetch(FILE, tmp_path / "weights.bin", settings=settings, by_hand="")
    assert hub.requests == []


def test_bytes_that_do_not_have_the_promised_hash_are_deleted(hub, settings, tmp_path):
    with pytest.raises(CheckpointError, match=r"SHA-256 mismatch: org/repo/weights\.bin"):
        fetch(FILE, tmp_path / "weights.bin", settings=settings, by_hand="", sha256="0" * 64)
    hub.stated_sha256 = "1" * 64  # by the hub itself
    with pytest.raises(CheckpointError, match="SHA-256 mismatch"):
        fetch(FILE, tmp_path / "weights.bin", settings=settings, by_hand="")
    assert not [path for path in tmp_path.iterdir() if path.is_file()]


def test_the_token_goes_to_the_hub_and_nowhere_else(hub, settings, tmp_path):
    fetch(FILE, tmp_path / "weights.bin", settings=settings, by_hand="")
    sent = {(path.startswith("/store/"), authorization) for _, path, _, authorization in hub.requests}
    assert sent == {(False, f"Bearer {TOKEN}"), (True, None)}


@pytest.mark.parametrize(
    ("status", "line"),
    [(403, "accept its licence there, signed in, and set HF_TOKEN"), (404, "has no weights.bin at main"), (500, "answers with error 500")],
)
def test_a_refusal_is_one_line_without_the_token(hub, settings, tmp_path, status, line):
    hub.status["org/repo/weights.bin"] = status
    with pytest.raises(InputNotFoundError, match=line) as caught:
        fetch(FILE, tmp_path / "weights.bin", settings=settings, by_hand="put it at HERE")
    assert str(caught.value).endswith("put it at HERE")
    assert "\n" not in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_without_a_network_it_says_soon_which_file_to_put_where(settings, tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, not listening: refuses
        nowhere = replace(settings, hub_endpoint=f"http://127.0.0.1:{closed.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(InputNotFoundError, match="no network: http://127") as caught:
            pull("ViCLIP-L_InternVid-FLT-10M", settings=nowhere)
    assert time.monotonic() - began < 5
    assert f"put it at {tmp_path / 'models' / 'ViCLIP-L_InternVid-FLT-10M.pth'}" in str(caught.value)
    assert caught.value.exit_code == 2


def test_offline_by_request_asks_nothing(hub, settings):
    with pytest.raises(InputNotFoundError, match=r"HF_HUB_OFFLINE is set; get model\.safetensors from"):
        pull("ViCLIP-L-14-hf", settings=replace(settings, hub_offline=True))
    assert hub.requests == []


# --- pull


def test_pull_leaves_converted_weights_that_load_by_name(hub, settings, published_weights):
    hub.files[L14] = published_weights
    pulled = pull("viclip-l-14-HF", settings=settings)
    assert (pulled.source, pulled.path) == ("ViCLIP-L-14-hf", settings.models / "ViCLIP-L-14-hf.safetensors")
    text = read_text_checkpoint(pulled.text_path)
    assert text.text_only
    assert text.tokenizer().vocab_size == 49_408
    assert not list((settings.models / "downloads").iterdir())
    encoder = load_encoder("ViCLIP-L-14-hf", device="cpu", precision="float32")
    assert encoder.space.weights_sha256 == text.weights_sha256
    hub.requests.clear()
    assert pull("ViCLIP-L-14-hf", settings=settings) == Pulled(pulled.source, pulled.path, was_there=True)
    assert hub.requests == []


def test_pull_brings_clips_vocabulary_where_open_clip_is_not_installed(hub, settings, published_weights, monkeypatch):
    vocabulary = Path(next(iter(find_spec("open_clip").submodule_search_locations))) / _tokens.CLIP_VOCABULARY
    hub.files |= {L14: published_weights, f"OpenGVLab/ViCLIP-L-14-hf/{_tokens.CLIP_VOCABULARY}": vocabulary.read_bytes()}
    monkeypatch.setattr(_tokens, "find_spec", lambda name: None)
    pull("ViCLIP-L-14-hf", settings=settings)
    assert (settings.models / _tokens.CLIP_VOCABULARY).read_bytes() == vocabulary.read_bytes()


def test_pull_of_an_image_model_takes_the_first_file_the_repository_has(hub, settings):
    repository = published("CLIP-L-14-OpenAI").files[0].repository
    hub.files[f"{repository}/{OPEN_CLIP_FILES[1]}"] = CONTENT
    pulled = pull("CLIP-L-14-OpenAI", settings=settings)
    assert pulled.path == settings.models / "open_clip" / "ViT-L-14--openai.bin"
    assert pulled.path.read_bytes() == CONTENT
    assert pulled.source == "open_clip:ViT-L-14/openai"


def test_a_pull_whose_weights_are_no_viclip_keeps_the_download(hub, settings):
    hub.files[L14] = b"no weights"
    with pytest.raises(VidsearchError, match="not a safetensors file"):
        pull("ViCLIP-L-14-hf", settings=settings)
    assert not (settings.models / "ViCLIP-L-14-hf.safetensors").exists()


# --- the command


def test_list_fits_80_columns_and_marks_what_is_here(hub, settings):
    settings.models.mkdir()
    (settings.models / "ViCLIP-L_WebVid-10M.pth").touch()
    done = CliRunner().invoke(app, ["list"], env={"COLUMNS": "80"})
    table = done.stdout.partition("\n\n")[0].splitlines()
    assert max(map(len, table)) <= 80
    assert "…" not in done.stdout
    assert [line.split()[1] for line in table if line.startswith("✓")] == ["ViCLIP-L_WebVid-10M"]
    assert len(table) == 1 + len(MODELS)


def test_list_as_jsonl_has_every_field(hub):
    rows = [json.loads(line) for line in CliRunner().invoke(app, ["list", "--format", "jsonl"]).stdout.splitlines()]
    assert [row["name"] for row in rows] == [model.name for model in (*VICLIP, *OTHER_VICLIP, *CLIP)]
    assert rows[0]["size_bytes"] == 4_142_600_732
    assert rows[0]["files"] == [{"repository": "OpenGVLab/ViCLIP", "name": "ViCLIP-L_InternVid-FLT-10M.pth", "revision": "main"}]
    assert rows[1]["size_bytes"] is rows[1]["path"] is None


def test_pull_prints_the_path_and_no_token(hub, settings, published_weights):
    hub.files[L14] = published_weights
    done = CliRunner().invoke(app, ["pull", "ViCLIP-L-14-hf"])
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{settings.models / 'ViCLIP-L-14-hf.safetensors'}\n"
    assert "--model ViCLIP-L-14-hf" in done.stderr
    assert TOKEN not in done.output


def test_convert_writes_into_the_models_folder(hub, settings, published_weights, tmp_path):
    source = tmp_path / "mine.safetensors"
    source.write_bytes(published_weights)
    done = CliRunner().invoke(app, ["convert", str(source), "--dtype", "float16"])
    assert done.exit_code == 0, done.output
    written = settings.models / "mine.safetensors"
    assert done.stdout == f"{written}\n"
    assert written.stat().st_size < 0.6 * len(published_weights)


def test_convert_refuses_a_coefficient_without_a_blend(hub, tmp_path):
    done = CliRunner().invoke(app, ["convert", str(tmp_path / "x.pth"), "--coefficient", "0.5"])
    assert isinstance(done.exception, UsageError)
    assert "--blend FILE" in str(done.exception)


def test_listing_models_loads_neither_torch_nor_the_hubs_library():
    code = (
        "import sys; from typer.testing import CliRunner; from vidsearch.models_cli import app; CliRunner().invoke(app, ['list']);"
        "print(sorted({'torch', 'huggingface_hub', 'open_clip', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
