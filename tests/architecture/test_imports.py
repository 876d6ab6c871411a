"""What start-up must not load: a query answers before torch would have been imported."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict

import pytest
from support.weights import MERGES, TINY, seeded_viclip

from vidsearch.config import Space, viclip_preset
from vidsearch.encoders._checkpoint import hash_weights, write_checkpoint
from vidsearch.encoders.viclip import NETWORK_VERSION
from vidsearch.registry import names

HEAVY = {"torch", "torchvision", "open_clip", "timm", "av", "decord", "onnxruntime", "gradio", "ray", "pandas", "huggingface_hub"}
PLUGINS = [f"{package}.{name}" for package in ("vidsearch.encoders", "vidsearch.decoders") for name in names(package)]


def loaded_by(code: str, *arguments: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter holds after running `code`."""
    script = f"import sys\n{code}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_this_test_sees_a_heavy_import():
    assert HEAVY & loaded_by("import av") == {"av"}


@pytest.mark.parametrize("module", ["vidsearch", "vidsearch.cli", "vidsearch.engine"])
def test_the_library_and_the_command_start_light(module):
    assert not HEAVY & loaded_by(f"import {module}")


def test_plugins_are_listed_without_their_libraries():
    """An encoder is asked whether it recognises a name, so its file must be light; a decoder may load its own library, no other."""
    own = {"vidsearch.decoders.pyav": {"av"}, "vidsearch.decoders.decord": {"decord"}}
    light = [module for module in PLUGINS if module not in own]
    assert not HEAVY & loaded_by("import " + ", ".join(light))


def test_a_sentence_is_encoded_without_torch(tmp_path):
    weights = seeded_viclip(TINY)
    path = tmp_path / "tiny.safetensors"
    write_checkpoint(path, weights, model="tiny", merges=MERGES)
    space = Space("viclip", "tiny", hash_weights(weights), NETWORK_VERSION, viclip_preset("eval", size=32), 48, str(path))
    code = """
import json
from vidsearch.config import Space
from vidsearch.encoders import load_text_encoder
vectors = load_text_encoder(Space.from_json(json.loads(sys.argv[1]))).encode_texts([sys.argv[2]])
assert vectors.shape == (1, 48) and abs(float((vectors ** 2).sum()) - 1) < 1e-5
"""
    plain = loaded_by(code, json.dumps(asdict(space)), "a dog surfing, at sunset")
    assert "numpy" in plain
    assert not (HEAVY | {"ftfy", "regex", "faiss", "pyarrow", "safetensors"}) & plain
    accented = loaded_by(code, json.dumps(asdict(space)), "un café à Paris")
    assert not HEAVY & accented
    assert {"ftfy", "regex"} <= accented
