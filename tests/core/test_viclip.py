"""ViCLIP computes what the reference computes, and finds its weights; sizes are small but for the parity with B/16."""

from __future__ import annotations

import logging
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from support.weights import B16, EXPECTED, MERGES, TEXTS, TINY, seeded_viclip

from vidsearch.config import Space, viclip_preset
from vidsearch.encoders import _torch, _viclip_clips, choose_source, load_encoder, load_text_encoder, viclip
from vidsearch.encoders._checkpoint import Checkpoint, hash_weights, write_checkpoint
from vidsearch.encoders._tokens import clip_merges
from vidsearch.encoders._viclip_encoder import build_encoder, build_net
from vidsearch.encoders._viclip_net import NetConfig, ViCLIP
from vidsearch.errors import InputNotFoundError, MissingExtraError, SpaceMismatchError, UsageError
from vidsearch.resize import resize_frames
from vidsearch.sampling import choose_frames

EXAMPLE = Path(__file__).parents[3] / "shared" / "videos" / "internvid_example1.mp4"
needs_example = pytest.mark.skipif(not EXAMPLE.is_file(), reason="../shared/videos/internvid_example1.mp4 is not here")
CPU = torch.device("cpu")


def cosines(left, right):
    return (left * right).sum(axis=1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)


# --- parity with the reference, B/16 ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def expected():
    return np.load(EXPECTED)


@pytest.fixture(scope="module")
def b16():
    return Checkpoint(Path("b16.safetensors"), "ViCLIP-B-16", "0" * 64, seeded_viclip(B16), clip_merges())


@pytest.fixture(scope="module")
def b16_net(b16):
    return build_net(b16, CPU)


@pytest.fixture(scope="module")
def example_frames():
    av = pytest.importorskip("av")
    with av.open(str(EXAMPLE)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def _reference_video() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1234).standard_normal((2, 8, 3, 224, 224), dtype=np.float32))


@torch.inference_mode()
def test_b16_features_equal_the_reference(b16, b16_net, expected):
    text = b16_net.encode_text(torch.from_numpy(b16.tokenizer().encode(TEXTS))).numpy()
    np.testing.assert_allclose(text, expected["text_raw"], atol=1e-4)
    video = b16_net.encode_vision(_reference_video()[:1]).numpy()
    np.testing.assert_allclose(video, expected["video_raw"][:1], atol=1e-4)
    np.testing.assert_allclose(cosines(video, text), expected["sim_video_text"][0], atol=1e-5)
    image = b16_net.encode_vision(_reference_video()[:, :1]).numpy()
    np.testing.assert_allclose(image, expected["image_raw_T1"], atol=1e-4)


@pytest.mark.parametrize(
    ("config", "tensors", "parameters"),
    [
        (NetConfig(224, 16, 8, 768, 12, 512, 12, 32, 49_408, 512), 303, 149_603_841),
        (NetConfig(224, 14, 8, 1024, 24, 768, 12, 32, 49_408, 768), 447, 427_590_145),
    ],
    ids=["B/16", "L/14"],
)
def test_the_published_sizes_have_their_tensors_and_parameters(config, tensors, parameters):
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in ViCLIP(config).named_parameters()}
    assert (len(shapes), sum(math.prod(shape) for shape in shapes.values())) == (tensors, parameters)
    assert NetConfig.from_shapes(shapes) == config


@needs_example
@pytest.mark.parametrize("name", ["eval", "demo"])
def test_presets_give_the_reference_pixels(name, example_frames, expected):
    preset = viclip_preset(name)
    chosen = example_frames[list(choose_frames(len(example_frames), preset))]
    reference = 255 * (expected[f"pixels_{name}"].transpose(0, 2, 3, 1).astype(np.float32) * preset.std + preset.mean)
    difference = abs(resize_frames(chosen, preset) - reference)
    assert difference.max() <= (1.1 if name == "eval" else 0.1)  # one grey level, or none; and what float16 rounds off
    assert (difference > 0.5).mean() < 0.01


@needs_example
@pytest.mark.parametrize("name", ["eval", "demo"])
def test_b16_features_of_a_video_equal_the_reference(name, b16, example_frames, expected):
    encoder = build_encoder(b16, device="cpu", precision="float32", preset=name, network_version=1, source="")
    frames = example_frames[list(choose_frames(len(example_frames), encoder.preset))]
    np.testing.assert_allclose(encoder.encode_clips(frames[None]), expected[f"mp4_{name}"], atol=1e-4)


@pytest.mark.slow
@torch.inference_mode()
def test_b16_in_bfloat16_points_the_same_way(b16_net, expected):
    with torch.autocast("cpu", torch.bfloat16):
        video = b16_net.encode_vision(_reference_video()).float().numpy()
    assert cosines(video, expected["video_raw"]).min() >= 0.9999


# --- the encoder -----------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights():
    return seeded_viclip(TINY)


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDSEARCH_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def tiny(tmp_path, weights, models):
    path = tmp_path / "tiny.safetensors"
    write_checkpoint(path, weights, model="tiny", merges=MERGES)
    return path


def _pixels(clips, frames=8):
    return np.random.default_rng(3).integers(0, 256, (clips, frames, 32, 32, 3), dtype=np.uint8)


def test_the_space_says_which_vectors_may_be_compared(tiny, weights):
    encoder = load_encoder(tiny, device="cpu")
    preset = viclip_preset("eval", size=32, frames=8)
    assert encoder.space == Space("viclip", "tiny", hash_weights(weights), viclip.NETWORK_VERSION, preset, 48, str(tiny))
    assert load_encoder(tiny, device="cpu", preset="demo").space.id != encoder.space.id
    assert (encoder.device, encoder.dim) == ("cpu", 48)


@torch.inference_mode()
def test_encode_pixels_normalises_as_the_preset_says(tiny):
    encoder = load_encoder(tiny, device="cpu", preset="vbench", precision="float32")
    net = build_net(viclip.read_checkpoint(tiny), CPU)
    floats = (_pixels(2) / 255 - encoder.preset.mean) / encoder.preset.std
    features = net.encode_vision(torch.from_numpy(floats.astype(np.float32)).permute(0, 1, 4, 2, 3)).numpy()
    np.testing.assert_allclose(encoder.encode_pixels(_pixels(2)), features / np.linalg.norm(features, axis=1, keepdims=True), atol=1e-5)


def test_encode_pixels_works_in_batches(tiny, monkeypatch):
    encoder = load_encoder(tiny, device="cpu", precision="float32")
    whole = encoder.encode_pixels(_pixels(7))
    monkeypatch.setitem(_viclip_clips.TOKENS_AT_ONCE, "cpu", 300)  # two clips
    np.testing.assert_allclose(encoder.encode_pixels(_pixels(7)), whole, atol=1e-6)


def test_encode_pixels_leaves_its_input_alone_and_takes_a_view(tiny):
    encoder = load_encoder(tiny, device="cpu", precision="float32")
    pixels = _pixels(4)
    view = pixels[::2, :, ::-1]
    view.flags.writeable = False
    np.testing.assert_allclose(encoder.encode_pixels(view), encoder.encode_pixels(view.copy()), atol=1e-6)
    np.testing.assert_array_equal(pixels, _pixels(4))


def test_the_order_of_frames_matters_and_one_frame_is_an_image(tiny):
    encoder = load_encoder(tiny, device="cpu", precision="float32")
    forward, backward = encoder.encode_pixels(_pixels(1)), encoder.encode_pixels(_pixels(1)[:, ::-1])
    assert cosines(forward, backward)[0] < 0.999
    assert encoder.encode_pixels(_pixels(3, frames=1)).shape == (3, 48)


@pytest.mark.parametrize("shape", [(2, 7, 32, 32, 3), (2, 8, 32, 31, 3), (8, 32, 32, 3), (2, 8, 3, 32, 32)])
def test_encode_pixels_refuses_other_shapes(shape, tiny):
    with pytest.raises(UsageError, match=r"takes clips \(n, 8, 32, 32, 3\) uint8"):
        load_encoder(tiny, device="cpu").encode_pixels(np.zeros(shape, dtype=np.uint8))


def test_encode_pixels_refuses_floats(tiny):
    with pytest.raises(UsageError, match=r"not .* float32"):
        load_encoder(tiny, device="cpu").encode_pixels(np.zeros((1, 8, 32, 32, 3), dtype=np.float32))


def test_only_the_eval_preset_strips_punctuation(tiny):
    plain, odd = ["the cat run"], ["The cat: run!"]
    by_preset = {name: load_encoder(tiny, device="cpu", preset=name) for name in ("eval", "demo")}
    np.testing.assert_array_equal(by_preset["eval"].encode_texts(odd), by_preset["eval"].encode_texts(plain))
    assert cosines(by_preset["demo"].encode_texts(odd), by_preset["demo"].encode_texts(plain))[0] < 0.999


def test_bfloat16_is_obeyed_for_clips_and_close(tiny):
    exact, rough = (load_encoder(tiny, device="cpu", precision=precision) for precision in ("float32", "bfloat16"))
    assert (exact.precision, rough.precision) == ("float32", "bfloat16")
    difference = abs(rough.encode_pixels(_pixels(3)) - exact.encode_pixels(_pixels(3))).max()
    assert 0 < difference < 0.01
    np.testing.assert_array_equal(rough.encode_texts(["the cat"]), exact.encode_texts(["the cat"]))  # sentences stay exact


def test_auto_takes_bfloat16_only_from_hardware(tiny, monkeypatch):
    for flags, chosen in ((set(), "float32"), ({"avx512_bf16"}, "bfloat16"), ({"amx_bf16"}, "bfloat16")):
        monkeypatch.setattr(_torch, "_cpu_flags", lambda flags=flags: flags)  # another processor
        assert load_encoder(tiny, device="cpu").precision == chosen


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "tpu"}, "unknown device 'tpu'"),
        ({"device": "xpu"}, "unknown device 'xpu'"),
        ({"device": "cuda:99"}, "device 'cuda:99' is not here"),
        ({"precision": "float16"}, "unknown precision 'float16'; choose from auto, float32, bfloat16"),
        ({"preset": "evil"}, "unknown preset 'evil'; choose from eval, demo, vbench"),
    ],
)
def test_load_refuses_unknown_options(options, message, tiny):
    with pytest.raises(UsageError, match=message):
        load_encoder(tiny, **options)


@pytest.mark.gpu
def test_cuda_gives_the_vectors_of_the_cpu(tiny):
    here, there = load_encoder(tiny, device="cpu"), load_encoder(tiny, device="cuda", precision="float32")
    assert cosines(there.encode_pixels(_pixels(5)), here.encode_pixels(_pixels(5))).min() > 0.9999
    assert cosines(there.encode_texts(["the cat"]), here.encode_texts(["the cat"])).min() > 0.9999


# --- where weights are found -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published():
    """Small weights over CLIP's own vocabulary, which published files do not carry."""
    return seeded_viclip(TINY | {"vocab_size": 49_408, "text_width": 64})


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_load_leaves_a_text_file_that_answers_alone(ending, published, tmp_path, models):
    path = tmp_path / f"ViCLIP-small{ending}"
    if ending == ".pth":
        torch.save({"model": {name: torch.from_numpy(tensor) for name, tensor in published.items()}}, path)
    else:
        safetensors.numpy.save_file(published, path)
    encoder = load_encoder(path, device="cpu")
    path.unlink()
    assert [file.name for file in (models / "text").iterdir()] == [f"{encoder.space.weights_sha256[:16]}.text.safetensors"]
    text = ["A man: plays fetch, with his dog!"]
    assert cosines(load_text_encoder(encoder.space).encode_texts(text), encoder.encode_texts(text))[0] > 0.99999


def test_load_leaves_nothing_where_the_weights_serve_queries_themselves(tiny, models):
    encoder = load_encoder(tiny, device="cpu")
    assert not models.exists()
    assert cosines(load_text_encoder(encoder.space).encode_texts(["cat"]), encoder.encode_texts(["cat"]))[0] > 0.99999


def test_load_goes_on_where_the_text_file_cannot_be_written(published, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("VIDSEARCH_MODELS", str(tmp_path / "file"))
    safetensors.numpy.save_file(published, tmp_path / "a.safetensors")
    with caplog.at_level(logging.WARNING):
        assert load_encoder(tmp_path / "a.safetensors", device="cpu").dim == 48
    assert "queries will be slow" in caplog.text


def test_a_pickle_named_for_a_query_is_read_once(published, tmp_path, models):
    path = tmp_path / "ViCLIP-small.pth"
    torch.save({name: torch.from_numpy(tensor) for name, tensor in published.items()}, path)
    preset = viclip_preset("eval", size=32)
    space = Space("viclip", "small", hash_weights(published), viclip.NETWORK_VERSION, preset, 48)
    assert load_text_encoder(space, path).encode_texts(["dog"]).shape == (1, 48)
    assert len(list((models / "text").iterdir())) == 1


def test_a_name_is_found_in_the_models_folder(weights, models):
    write_checkpoint(models / "ViCLIP-L-14.safetensors", weights, model="ViCLIP-L-14", merges=MERGES)
    encoder = load_encoder("ViCLIP-L-14", device="cpu")
    assert encoder.space.source == "ViCLIP-L-14"
    assert load_text_encoder(encoder.space).encode_texts(["cat"]).shape == (1, 48)


def test_weights_that_are_not_here_are_one_clear_line(models, tmp_path):
    with pytest.raises(InputNotFoundError, match=f"no weights of ViCLIP-L-14 are here; put them at {models}"):
        load_encoder("ViCLIP-L-14")
    with pytest.raises(InputNotFoundError, match=r"no such checkpoint: .*nowhere\.pth"):
        load_encoder(tmp_path / "nowhere.pth")
    space = Space("viclip", "lost", "1" * 64, viclip.NETWORK_VERSION, viclip_preset("eval"), 48, str(tmp_path / "lost.pth"))
    with pytest.raises(InputNotFoundError, match=r"the index was made with lost, whose weights are not here: neither .*1{16}"):
        load_text_encoder(space)


def test_other_weights_than_the_indexs_are_refused(tiny, tmp_path, weights):
    space = load_encoder(tiny, device="cpu").space
    write_checkpoint(tmp_path / "other.safetensors", weights | {"temp": np.float32(0.02)}, model="other", merges=MERGES)
    with pytest.raises(SpaceMismatchError, match=r"these vectors are of tiny .* is other"):
        load_text_encoder(space, tmp_path / "other.safetensors")
    with pytest.raises(SpaceMismatchError, match="network 99"):
        load_text_encoder(Space(**{**vars(space), "network_version": 99}))
    with pytest.raises(SpaceMismatchError, match="the index was made with tiny"):
        load_text_encoder(space, "conse")


def test_choose_source_prefers_the_larger_the_better_trained_and_the_safer(models):
    models.mkdir()
    source, why = choose_source()
    assert source == "conse"
    assert str(models) in why
    for name in ("readme.txt", "ViCLIP-B-16.safetensors", "ViCLIP-L-14.pth", "other.safetensors"):
        (models / name).touch()
    assert Path(choose_source()[0]).name == "ViCLIP-L-14.pth"
    (models / "ViCLIP-L-14.safetensors").touch()
    assert Path(choose_source()[0]).name == "ViCLIP-L-14.safetensors"
    (models / "ViCLIP-L_InternVid-FLT-10M.pth").touch()
    source, why = choose_source()
    assert Path(source).name == "ViCLIP-L_InternVid-FLT-10M.pth"
    assert "using ViCLIP-L_InternVid-FLT-10M.pth" in why


def test_load_encoder_without_a_name_takes_the_chosen_one(weights, models):
    write_checkpoint(models / "ViCLIP-B.safetensors", weights, model="mine", merges=MERGES)
    assert load_encoder(device="cpu").space.model == "mine"


def test_an_unknown_model_is_one_line_with_what_is_known():
    with pytest.raises(UsageError, match=r"unknown model 'what-is-this'; give a checkpoint file or a name of .*viclip"):
        load_encoder("what-is-this")


@pytest.mark.parametrize(
    ("source", "known"),
    [("ViCLIP-L-14", True), ("ViClip-InternVid-10M-FLT.pth", True), ("demo-viclip", True), ("a/b.bin", True), ("ViT-B-32", False)],
)
def test_recognises_names_and_checkpoint_files(source, known):
    assert viclip.recognises(source) is known


def test_load_without_torch_says_what_to_install(tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    with pytest.raises(MissingExtraError, match=r"pip install 'vidsearch\[index\]'"):
        load_encoder(tiny)
