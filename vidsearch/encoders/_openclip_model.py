"""A model of open_clip on torch. A clip is the mean of its frames' unit vectors, made a unit vector again.

Averaging is what the CLIP baselines of the InternVid paper do (arXiv 2307.06942, section 5): the model sees no motion.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pickle import UnpicklingError
from typing import Any

import numpy as np
import open_clip
import regex
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from vidsearch.config import Preset, Space
from vidsearch.encoders._checkpoint import hash_weights
from vidsearch.encoders._containers import as_array
from vidsearch.encoders._torch import choose_device, choose_precision, frame_batches, normalisation, running
from vidsearch.encoders.base import Encoder, Pixels, TextEncoder, Vectors, unit_rows
from vidsearch.encoders.openclip import FRAMES, NETWORK_VERSION, Weights
from vidsearch.errors import CheckpointError, InputNotFoundError, SpaceMismatchError, UsageError

FRAMES_AT_ONCE = {"cpu": 8, "cuda": 256}
TEXTS_AT_ONCE = {"cpu": 64, "cuda": 1024}
PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")


class OpenCLIPTextEncoder(TextEncoder):
    """The text tower and the model's own tokenizer."""

    def __init__(self, space: Space, net: nn.Module, architecture: str, place: torch.device, precision: str) -> None:
        self.space = space
        self._net: Any = net
        self._place, self._precision = place, precision
        self._tokenize = open_tokenizer(architecture)

    @classmethod
    def load_for(cls, space: Space, weights: Weights) -> OpenCLIPTextEncoder:
        """Load on the processor in float32, once the weights have proved to be those of `space`."""
        net = build_net(weights)
        found = describe_space(weights, net, source=space.source, frames=space.preset.frames)
        if found.id != space.id:
            raise SpaceMismatchError(f"these vectors are of {_short(space)}; {weights.path} is {_short(found)}")
        del net.visual  # most of the memory
        return cls(space, net, weights.architecture, torch.device("cpu"), "float32")

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise UsageError(f"texts must be a sequence of strings, not {texts!r:.80}")
        clean = [text.encode("utf-8", "replace").decode() for text in texts]  # lone surrogates have no bytes
        step = TEXTS_AT_ONCE[self._place.type]
        parts = [self._encode(clean[start : start + step]) for start in range(0, len(clean), step)]
        return unit_rows(np.concatenate([np.zeros((0, self.dim), dtype=np.float32), *parts]))

    def count_cut(self, texts: Sequence[str]) -> tuple[int, int] | None:
        if not isinstance(self._tokenize, open_clip.SimpleTokenizer):
            return None
        limit = int(self._tokenize.context_length)
        return sum(len(self._tokenize.encode(text)) + 2 > limit for text in texts), limit

    def _encode(self, texts: list[str]) -> Vectors:
        with running(self._place, self._precision):
            features: Tensor = self._net.encode_text(self._tokenize(texts).to(self._place))
        vectors: Vectors = features.float().cpu().numpy()
        return vectors


class OpenCLIPEncoder(Encoder):
    """Both towers on one device."""

    def __init__(self, space: Space, net: nn.Module, architecture: str, place: torch.device, precision: str) -> None:
        self.space = space
        self.device, self.precision = str(place), precision
        self.clips_at_once = max(1, FRAMES_AT_ONCE[place.type] // space.preset.frames)
        self._place = place
        self._net: Any = net.to(place)
        self._texts = OpenCLIPTextEncoder(space, net, architecture, place, precision)
        self._scale, self._shift = normalisation(space.preset, place)

    def __repr__(self) -> str:
        return f"OpenCLIPEncoder({self.space.model}, {self.device}, {self.precision})"

    @classmethod
    def load(cls, weights: Weights, *, device: str, precision: str, preset: str | None, source: str) -> OpenCLIPEncoder:
        """Load both towers on the device, at the precision asked for."""
        place = choose_device(device)
        chosen = choose_precision(precision, place)
        net = build_net(weights)
        space = describe_space(weights, net, source=source)
        if preset not in (None, space.preset.name):
            raise UsageError(f"unknown preset {preset!r} of {space.model}; choose {space.preset.name}")
        return cls(space, net, weights.architecture, place, chosen)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        return self._texts.encode_texts(texts)

    def count_cut(self, texts: Sequence[str]) -> tuple[int, int] | None:
        return self._texts.count_cut(texts)

    @torch.inference_mode()
    def encode_pixels(self, pixels: Pixels) -> Vectors:
        """Return the mean over a clip's frames of their unit vectors, as unit rows; any number of frames will do."""
        parts = [self._encode_frames(batch) for batch in frame_batches(pixels, self.preset, self._place, FRAMES_AT_ONCE)]
        if not parts:
            return np.zeros((0, self.dim), dtype=np.float32)
        frames = torch.cat(parts).reshape(len(pixels), -1, self.dim)  # (n, T, E)
        return unit_rows(frames.mean(dim=1).cpu().numpy())

    def _encode_frames(self, frames: Tensor) -> Tensor:
        """Return unit rows (B, E) of frames (B, H, W, 3) uint8."""
        with running(self._place, self.precision):
            features: Tensor = self._net.encode_image((frames * self._scale + self._shift).permute(0, 3, 1, 2))
        return nn.functional.normalize(features.float(), dim=-1)


def describe_space(weights: Weights, net: nn.Module, *, source: str, frames: int = FRAMES) -> Space:
    """Return the space of a loaded model; its weights are hashed as ViCLIP's are, in open_clip's names."""
    state = {name: as_array(tensor) for name, tensor in net.state_dict().items()}
    broken = [name for name, array in state.items() if not np.isfinite(array).all()]
    if broken:
        raise CheckpointError(f"{weights.path} holds numbers that are not finite: {', '.join(broken[:5])}")
    return Space(
        encoder="openclip",
        model=f"{weights.architecture}/{weights.tag or weights.path.stem}",
        weights_sha256=hash_weights(state),
        network_version=NETWORK_VERSION,
        preset=replace(read_preset(net, quick_gelu=_is_quick_gelu(weights)), frames=frames),
        dim=int(_config(weights)["embed_dim"]),
        source=source,
    )


def build_net(weights: Weights) -> Any:
    """Return open_clip's network with these weights in float32 on the processor; a file that does not fit is refused."""
    try:
        net = open_clip.create_model(
            weights.architecture,
            pretrained=str(weights.path),
            force_quick_gelu=_is_quick_gelu(weights),
            force_preprocess_cfg=_preprocessing(weights),
            pretrained_text=False,
            weights_only=True,
        )
    except (RuntimeError, UnpicklingError, SafetensorError, EOFError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{weights.path} does not hold weights of {weights.architecture}: {_one_line(error)}") from error
    return net.requires_grad_(False).eval()


def read_preset(net: Any, *, quick_gelu: bool) -> Preset:
    """Return the model's own preprocessing.

    Its name tells QuickGELU from GELU, which the weights do not: the same weights give other vectors under the other one.
    """
    known: dict[str, Any] = net.visual.preprocess_cfg
    size = known["size"]
    height, width = (size, size) if isinstance(size, int) else size
    if height != width or known["resize_mode"] not in ("shortest", "squash"):
        raise UsageError(
            f"cannot prepare pictures {width}x{height} by {known['resize_mode']!r}: a square, and shortest or squash, can be done"
        )
    crop = known["resize_mode"] == "shortest"
    return Preset(
        "open_clip-quickgelu" if quick_gelu else "open_clip",
        size=height,
        frames=FRAMES,
        filter="bilinear" if known["interpolation"] == "bilinear" else "bicubic",  # "random" is bicubic when not training
        antialias=True,
        fit="crop" if crop else "stretch",
        resize_side=height if crop else 0,
        mean=_three(known["mean"]),
        std=_three(known["std"]),
    )


def open_tokenizer(architecture: str) -> Any:
    """Return the model's tokenizer, texts to ids (n, context length); to CLIP's, a literal "<end_of_text>" is text."""
    try:
        tokenizer = open_clip.get_tokenizer(architecture)
    except (OSError, ImportError, ValueError, RuntimeError) as error:
        raise InputNotFoundError(f"the tokenizer of {architecture} is not here and could not be had: {_one_line(error)}") from error
    if isinstance(tokenizer, open_clip.SimpleTokenizer):
        reserved = "|".join(tokenizer.decoder[number] for number in tokenizer.all_special_ids)
        tokenizer.pat = regex.compile(tokenizer.pat.pattern.removeprefix(reserved + "|"), regex.IGNORECASE)
    return tokenizer


def _config(weights: Weights) -> dict[str, Any]:
    config: dict[str, Any] = open_clip.get_model_config(weights.architecture)
    return config


def _is_quick_gelu(weights: Weights) -> bool:
    """Whether the network uses QuickGELU: published weights say how they were trained, of a file only the architecture does."""
    tagged = open_clip.get_pretrained_cfg(weights.architecture, weights.tag) if weights.tag else {}
    return bool(tagged.get("quick_gelu") or _config(weights).get("quick_gelu"))


def _preprocessing(weights: Weights) -> dict[str, Any]:
    """Return what published weights say of it; for a file, what all published weights of the architecture agree on."""
    tags = [weights.tag] if weights.tag else open_clip.list_pretrained_tags_by_model(weights.architecture)
    configs = [open_clip.get_pretrained_cfg(weights.architecture, tag) for tag in tags]
    said = [{key: config[key] for key in PREPROCESSING if config.get(key) is not None} for config in configs]
    return said[0] if said and all(each == said[0] for each in said) else {}


def _short(space: Space) -> str:
    return f"{space.model} {space.weights_sha256[:12]} (preset {space.preset.name}, network {space.network_version})"


def _three(values: Any) -> tuple[float, float, float]:
    red, green, blue = (values,) * 3 if isinstance(values, int | float) else values
    return float(red), float(green), float(blue)


def _one_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error) or type(error).__name__)[:200]
