"""Every published container gives the same weights; what is unsafe or does not fit is refused by name."""

from __future__ import annotations

import json
import pickle
import sys
from collections import OrderedDict
from types import ModuleType

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from support.weights import MERGES, TINY, seeded_viclip

from vidsearch.encoders._checkpoint import (
    convert,
    ensure_text_file,
    hash_weights,
    read_checkpoint,
    read_text_checkpoint,
    text_file,
    write_checkpoint,
)
from vidsearch.encoders._safetensors import open_safetensors, write_safetensors
from vidsearch.errors import CheckpointError, FormatVersionError, InputNotFoundError, UsageError

BLOCK = "vision_encoder.transformer.resblocks.0."


@pytest.fixture(scope="module")
def weights():
    return seeded_viclip(TINY)


@pytest.fixture
def ours(tmp_path, weights):
    path = tmp_path / "tiny.safetensors"
    write_checkpoint(path, weights, model="tiny", merges=MERGES)
    return path


# --- our own file ----------------------------------------------------------------------------------------------------------------------


def test_write_checkpoint_reads_back_the_same(ours, weights):
    checkpoint = read_checkpoint(ours)
    assert (checkpoint.model, checkpoint.merges, checkpoint.weights_sha256) == ("tiny", MERGES, hash_weights(weights))
    assert checkpoint.tensors.keys() == weights.keys()
    for name, tensor in weights.items():
        np.testing.assert_array_equal(checkpoint.tensors[name], tensor)


def test_write_checkpoint_is_a_safetensors_file_like_any_other(ours, weights):
    read = safetensors.numpy.load_file(ours)
    assert read.keys() == weights.keys()
    assert all(np.array_equal(read[name], tensor) and read[name].shape == tensor.shape for name, tensor in weights.items())


def test_write_checkpoint_gives_the_same_bytes_twice(ours, tmp_path, weights):
    shuffled = dict(sorted(weights.items(), reverse=True))
    write_checkpoint(tmp_path / "again.safetensors", shuffled, model="tiny", merges=MERGES)
    assert (tmp_path / "again.safetensors").read_bytes() == ours.read_bytes()


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(ours):
    before = ours.read_bytes()
    with pytest.raises(CheckpointError, match="x is int64"):
        write_safetensors(ours, {"x": np.zeros(3, dtype=np.int64)}, {})
    with pytest.raises(TypeError):
        write_safetensors(ours, {"x": np.zeros(3, dtype=np.float32)}, {"not json": object()})
    assert ours.read_bytes() == before
    assert [path.name for path in ours.parent.iterdir()] == [ours.name]


def test_hash_weights_depends_on_values_names_and_shapes_alone(weights):
    whole = hash_weights(weights)
    assert hash_weights({name: tensor.astype(np.float64) for name, tensor in reversed(weights.items())}) == whole
    changed = weights | {"temp": np.float32(0.011)}
    renamed = {name.replace("ln_pre", "ln_prf"): tensor for name, tensor in weights.items()}
    reshaped = weights | {"vision_encoder.proj": weights["vision_encoder.proj"].reshape(48, -1)}
    assert len({whole, hash_weights(changed), hash_weights(renamed), hash_weights(reshaped)}) == 4


# --- published containers --------------------------------------------------------------------------------------------------------------


class EasyDict(dict):
    """As in the reference's utils/easydict.py: items are attributes too, so its pickle carries both."""

    def __init__(self, values):
        super().__init__(values)
        self.__dict__.update(values)


def _save_training_checkpoint(path, state, monkeypatch):
    """Write what the reference's training writes, its configuration pickled as class utils.easydict.EasyDict."""
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(3))]).state_dict()
    config = EasyDict({"model": EasyDict({"vit": "b16", "lr": 1e-4}), "tasks": ["pretrain"], "flag": None})
    content = {"model": state, "optimizer": optimizer, "scheduler": {"last_epoch": 9}, "scaler": {}, "config": config, "epoch": 9}
    module = ModuleType("utils.easydict")
    module.EasyDict = EasyDict
    with monkeypatch.context() as patch:
        patch.setattr(EasyDict, "__module__", "utils.easydict")
        patch.setitem(sys.modules, "utils", ModuleType("utils"))
        patch.setitem(sys.modules, "utils.easydict", module)
        torch.save(content, path)
    assert b"utils.easydict" in path.read_bytes()


def _tensors(weights):
    return OrderedDict((name, torch.from_numpy(tensor)) for name, tensor in weights.items())


@pytest.mark.parametrize(
    "container", ["model", "module", "training", "flat", "prefixed", "legacy", "double", "safetensors", "prefixed_safe"]
)
def test_read_checkpoint_takes_every_published_container(container, tmp_path, weights, monkeypatch):
    state = _tensors(weights)
    path = tmp_path / f"ViCLIP-tiny{'.safetensors' if 'safe' in container else '.pth'}"
    match container:
        case "model":
            torch.save({"model": state}, path)
        case "module":
            torch.save({"module": state, "epoch": 1}, path)
        case "training":
            _save_training_checkpoint(path, state, monkeypatch)
        case "flat":
            torch.save(state, path)
        case "prefixed":
            torch.save({"model": {f"module.{name}": tensor for name, tensor in state.items()}}, path)
        case "legacy":
            torch.save(state, path, _use_new_zipfile_serialization=False)
        case "double":
            torch.save({name: tensor.double() for name, tensor in state.items()}, path)
        case "safetensors":
            safetensors.numpy.save_file(weights, path)
        case "prefixed_safe":
            safetensors.numpy.save_file({f"module.{name}": tensor for name, tensor in weights.items()}, path)
    checkpoint = read_checkpoint(path)
    assert (checkpoint.weights_sha256, checkpoint.model, checkpoint.merges) == (hash_weights(weights), "ViCLIP-tiny", None)
    assert "utils" not in sys.modules


def test_read_checkpoint_takes_bfloat16_from_either_container(tmp_path, weights):
    rounded = {name: tensor.to(torch.bfloat16) for name, tensor in _tensors(weights).items()}
    torch.save(rounded, tmp_path / "a.pth")
    safetensors.torch.save_file(rounded, tmp_path / "a.safetensors")
    expected = hash_weights({name: tensor.float().numpy() for name, tensor in rounded.items()})
    assert read_checkpoint(tmp_path / "a.pth").weights_sha256 == expected
    assert read_checkpoint(tmp_path / "a.safetensors").weights_sha256 == expected


def test_a_file_named_by_its_folder_is_called_after_it(tmp_path, weights):
    path = tmp_path / "ViCLIP-B-16-hf" / "model.safetensors"
    path.parent.mkdir()
    safetensors.numpy.save_file(weights, path)
    assert read_checkpoint(path).model == "ViCLIP-B-16-hf"


# --- what is refused -------------------------------------------------------------------------------------------------------------------


class Canary:
    """A pickle of this writes a file when it is loaded unsafely."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("name", ["evil.pth", "evil.pt", "evil.bin", "evil.safetensors"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(name, zipped, tmp_path, weights):
    content = {"model": _tensors(weights), "config": Canary(tmp_path / "canary")}
    torch.save(content, tmp_path / name, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"pickle under another name|without running code") as refused:
        read_checkpoint(tmp_path / name)
    assert not (tmp_path / "canary").exists()
    assert "weights_only" not in str(refused.value)  # torch's own advice would be to load it unsafely
    assert "\n" not in str(refused.value)


def test_a_bare_pickle_is_refused(tmp_path):
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    with pytest.raises(CheckpointError, match="without running code"):
        read_checkpoint(tmp_path / "evil.pth")
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("content", [3, [], {}, {"model": {"a": 1}}, {"model": {"a": torch.ones(2).to_sparse()}}])
def test_a_pickle_without_weights_is_refused(content, tmp_path):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"holds no weights|what is no tensor"):
        read_checkpoint(tmp_path / "a.pth")


def _safetensors_bytes(header, data=b""):
    packed = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(packed).to_bytes(8, "little") + packed + data


FLOATS = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
BROKEN = {
    "empty": b"",
    "short": b"1234",
    "endless header": (2**63).to_bytes(8, "little") + b"{}",
    "header longer than the file": (100).to_bytes(8, "little") + b"{}",
    "not JSON": _safetensors_bytes(b"{nope"),
    "not text": _safetensors_bytes(b"\xff\xfe{}"),
    "too deep": _safetensors_bytes(b"[" * 100_000),
    "a list": _safetensors_bytes([]),
    "no dtype": _safetensors_bytes({"a": {"shape": [2], "data_offsets": [0, 8]}}, b"\0" * 8),
    "unknown dtype": _safetensors_bytes({"a": FLOATS | {"dtype": "F7"}}, b"\0" * 8),
    "negative shape": _safetensors_bytes({"a": FLOATS | {"shape": [-2, -1]}}, b"\0" * 8),
    "fractional shape": _safetensors_bytes({"a": FLOATS | {"shape": [2.0]}}, b"\0" * 8),
    "wrong size": _safetensors_bytes({"a": FLOATS | {"shape": [3]}}, b"\0" * 8),
    "backwards": _safetensors_bytes({"a": FLOATS | {"data_offsets": [8, 0]}}, b"\0" * 8),
    "outside the file": _safetensors_bytes({"a": FLOATS}, b"\0" * 4),
    "more data than promised": _safetensors_bytes({"a": FLOATS}, b"\0" * 12),
    "overlapping": _safetensors_bytes({"a": FLOATS, "b": FLOATS | {"data_offsets": [4, 12]}}, b"\0" * 12),
    "a gap": _safetensors_bytes({"a": FLOATS, "b": FLOATS | {"data_offsets": [12, 20]}}, b"\0" * 20),
    "metadata of numbers": _safetensors_bytes({"__metadata__": {"a": 1}}),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_safetensors_file_is_refused(content, tmp_path):
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a\.safetensors") as refused:
        open_safetensors(tmp_path / "a.safetensors")
    assert "\n" not in str(refused.value)


def test_tensors_that_do_not_fit_are_refused_by_name(tmp_path, weights):
    wrong = {name: tensor for name, tensor in weights.items() if not name.startswith(BLOCK + "mlp") and name != "temp"}
    wrong |= {"extra.tensor": np.ones(1, dtype=np.float32), BLOCK + "ln_1.bias": np.ones(3, dtype=np.float32)}
    write_checkpoint(tmp_path / "a.safetensors", wrong, model="a")
    with pytest.raises(CheckpointError) as refused:
        read_checkpoint(tmp_path / "a.safetensors")
    assert str(refused.value).partition("network; ")[2] == (
        f"missing temp, {BLOCK}mlp.c_fc.weight, {BLOCK}mlp.c_fc.bias, {BLOCK}mlp.c_proj.weight, {BLOCK}mlp.c_proj.bias; "
        f"unexpected extra.tensor; of the wrong shape {BLOCK}ln_1.bias (3,) instead of (128,)"
    )


def test_only_the_first_five_names_are_listed(tmp_path, weights):
    few = {name: tensor for name, tensor in weights.items() if "resblocks.1.mlp" not in name and "resblocks.1.ln" not in name}
    write_checkpoint(tmp_path / "a.safetensors", few, model="a")
    with pytest.raises(CheckpointError, match="and 11 more"):
        read_checkpoint(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    "name", ["vision_encoder.conv1.weight", "text_encoder.positional_embedding", "vision_encoder.positional_embedding"]
)
def test_a_missing_main_tensor_is_named(name, tmp_path, weights):
    write_checkpoint(tmp_path / "a.safetensors", {key: tensor for key, tensor in weights.items() if key != name}, model="a")
    with pytest.raises(CheckpointError, match=f"missing {name}"):
        read_checkpoint(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("name", "shape"),
    [("vision_encoder.conv1.weight", (128, 3, 8, 8)), ("text_encoder.text_projection", (128,)), ("temp", (1,)), ("temp", (0,))],
)
def test_a_misshapen_main_tensor_is_refused(name, shape, tmp_path, weights):
    write_checkpoint(tmp_path / "a.safetensors", weights | {name: np.ones(shape, dtype=np.float32)}, model="a")
    with pytest.raises(CheckpointError, match="does not fit the ViCLIP network"):
        read_checkpoint(tmp_path / "a.safetensors")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_refused(value, tmp_path, weights):
    broken = weights["vision_encoder.proj"].copy()
    broken[7, 3] = value
    write_checkpoint(tmp_path / "a.safetensors", weights | {"vision_encoder.proj": broken}, model="a")
    with pytest.raises(CheckpointError, match=r"NaN or infinite numbers in vision_encoder\.proj"):
        read_checkpoint(tmp_path / "a.safetensors")


def test_one_flipped_bit_is_noticed(ours):
    content = bytearray(ours.read_bytes())
    content[-1000] ^= 1
    ours.write_bytes(content)
    with pytest.raises(CheckpointError, match="SHA-256 mismatch"):
        read_checkpoint(ours)


def test_a_newer_version_is_refused(tmp_path, weights):
    write_safetensors(tmp_path / "a.safetensors", weights, {"vidsearch_checkpoint": "2"})
    for read in (read_checkpoint, read_text_checkpoint):
        with pytest.raises(FormatVersionError, match="newer vidsearch"):
            read(tmp_path / "a.safetensors")


def test_a_tokenizer_of_another_model_is_refused(tmp_path, weights):
    write_checkpoint(tmp_path / "a.safetensors", weights, model="a", merges=MERGES[:-1])
    with pytest.raises(CheckpointError, match="knows 522 tokens, its tokenizer makes 521"):
        read_checkpoint(tmp_path / "a.safetensors").tokenizer()


def test_files_that_are_not_there_or_not_checkpoints_are_refused(tmp_path):
    with pytest.raises(InputNotFoundError, match="no such checkpoint"):
        read_checkpoint(tmp_path / "a.pth")
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(CheckpointError, match=r"known endings are \.safetensors, \.pth"):
        read_checkpoint(tmp_path / "a.txt")


# --- the text-only half and the converter ----------------------------------------------------------------------------------------------


def test_ensure_text_file_keeps_the_text_tower_and_the_fingerprint_of_the_whole(ours, tmp_path, weights):
    path = ensure_text_file(read_checkpoint(ours), tmp_path / "models")
    assert path == text_file(tmp_path / "models", hash_weights(weights))
    half = read_text_checkpoint(path)
    assert (half.weights_sha256, half.merges, half.model) == (hash_weights(weights), MERGES, "tiny")
    assert half.tensors.keys() == {name for name in weights if name.startswith("text_encoder.")}
    assert all(np.array_equal(tensor, weights[name]) for name, tensor in half.tensors.items())


def test_ensure_text_file_writes_once_and_mends_a_broken_one(ours, tmp_path):
    checkpoint = read_checkpoint(ours)
    path = ensure_text_file(checkpoint, tmp_path / "models")
    first = path.stat().st_mtime_ns
    assert ensure_text_file(checkpoint, tmp_path / "models").stat().st_mtime_ns == first
    path.write_bytes(b"broken")
    ensure_text_file(checkpoint, tmp_path / "models")
    assert read_text_checkpoint(path).weights_sha256 == checkpoint.weights_sha256


def test_read_text_checkpoint_fingerprints_a_published_file(tmp_path, weights):
    safetensors.numpy.save_file(weights, tmp_path / "a.safetensors")
    assert read_text_checkpoint(tmp_path / "a.safetensors").weights_sha256 == hash_weights(weights)


def test_convert_writes_what_it_read(ours, tmp_path, weights):
    source = tmp_path / "ViCLIP-tiny.pth"
    torch.save({"model": _tensors(weights)}, source)
    with pytest.raises(CheckpointError, match="knows 522 tokens"):  # a pickle has no merges, and CLIP's are too many for this one
        convert(source, tmp_path / "a.safetensors")
    done = convert(ours, tmp_path / "new" / "b.safetensors")
    assert (done.weights_sha256, done.model) == (hash_weights(weights), "tiny")
    assert done.text_path == text_file(tmp_path / "new", hash_weights(weights))
    assert read_checkpoint(done.path).merges == read_text_checkpoint(done.text_path).merges == MERGES


def test_convert_to_float16_rounds_and_is_another_fingerprint(ours, tmp_path, weights):
    done = convert(ours, tmp_path / "half.safetensors", dtype="float16")
    half = {name: tensor.astype(np.float16) for name, tensor in weights.items()}
    assert done.weights_sha256 == hash_weights(half) != hash_weights(weights)
    assert read_text_checkpoint(done.text_path).tensors["text_encoder.text_projection"].dtype == np.float16
    assert done.path.stat().st_size < 0.6 * ours.stat().st_size


def test_convert_refuses_numbers_that_float16_cannot_hold(tmp_path, weights):
    write_checkpoint(tmp_path / "a.safetensors", weights | {"temp": np.float32(1e6)}, model="a", merges=MERGES)
    with pytest.raises(CheckpointError, match="infinite numbers in temp"):
        convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors", dtype="float16")
    assert not (tmp_path / "b.safetensors").exists()


def test_convert_may_replace_its_source(ours, weights):
    convert(ours, ours)
    assert read_checkpoint(ours).weights_sha256 == hash_weights(weights)


@pytest.mark.parametrize(("name", "dtype"), [("a.pth", "float32"), ("a.safetensors", "int8")])
def test_convert_refuses_other_targets(name, dtype, ours, tmp_path):
    with pytest.raises(UsageError, match="float32 or float16"):
        convert(ours, tmp_path / name, dtype=dtype)


# --- blending --------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def clip(weights):
    """An image CLIP of the same size under OpenAI's names: 77 text positions, a patch one frame deep, a logit scale."""
    rng = np.random.default_rng(5)
    renamed = {}
    for name, tensor in weights.items():
        if name == "temp" or "temporal" in name:
            continue
        new = rng.standard_normal(tensor.shape, dtype=np.float32)
        if name == "vision_encoder.conv1.weight":
            new = new[:, :, 0]
        if name == "text_encoder.positional_embedding":
            new = rng.standard_normal((77, 128), dtype=np.float32)
        renamed[name.replace("vision_encoder.", "visual.").removeprefix("text_encoder.")] = new
    return renamed | {"logit_scale": np.ones((), dtype=np.float32)}


def test_convert_blends_with_the_clip_it_came_from(ours, tmp_path, weights, clip):
    safetensors.numpy.save_file(clip, tmp_path / "clip.safetensors")
    done = convert(ours, tmp_path / "b.safetensors", blend=tmp_path / "clip.safetensors", blend_coefficient=0.25)
    got = read_checkpoint(done.path).tensors
    for name in ("temp", "vision_encoder.temporal_positional_embedding"):
        np.testing.assert_array_equal(got[name], weights[name])
    expected = {
        "vision_encoder.conv1.weight": clip["visual.conv1.weight"][:, :, None],
        "vision_encoder.proj": clip["visual.proj"],
        "text_encoder.positional_embedding": clip["positional_embedding"][:32],
        "text_encoder.token_embedding.weight": clip["token_embedding.weight"],
        "text_encoder.transformer.resblocks.1.mlp.c_fc.bias": clip["transformer.resblocks.1.mlp.c_fc.bias"],
    }
    for name, other in expected.items():
        np.testing.assert_allclose(got[name], 0.25 * weights[name] + 0.75 * other, atol=1e-6)


def test_convert_blends_half_and_half_by_default(ours, tmp_path, weights, clip):
    torch.save({name: torch.from_numpy(tensor) for name, tensor in clip.items()}, tmp_path / "clip.pt")
    got = read_checkpoint(convert(ours, tmp_path / "b.safetensors", blend=tmp_path / "clip.pt").path).tensors
    np.testing.assert_allclose(got["vision_encoder.proj"], (weights["vision_encoder.proj"] + clip["visual.proj"]) / 2, atol=1e-6)


def test_convert_refuses_a_clip_that_does_not_fit(ours, tmp_path, clip):
    safetensors.numpy.save_file(clip | {"visual.proj": np.ones((128, 64), dtype=np.float32)}, tmp_path / "wide.safetensors")
    with pytest.raises(CheckpointError, match=r"its vision_encoder\.proj is \(128, 64\) instead of \(128, 48\)"):
        convert(ours, tmp_path / "b.safetensors", blend=tmp_path / "wide.safetensors")
    del clip["visual.ln_pre.bias"]
    safetensors.numpy.save_file(clip, tmp_path / "few.safetensors")
    with pytest.raises(CheckpointError, match=r"it has no vision_encoder\.ln_pre\.bias"):
        convert(ours, tmp_path / "b.safetensors", blend=tmp_path / "few.safetensors")
    with pytest.raises(UsageError, match=r"1\.5 must be from 0 to 1"):
        convert(ours, tmp_path / "b.safetensors", blend=tmp_path / "few.safetensors", blend_coefficient=1.5)
