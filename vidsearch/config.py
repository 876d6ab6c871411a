"""Settings as frozen, checked values; those that shape vectors are saved in the manifest and read back."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from vidsearch.errors import UsageError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Preset:
    """How a clip becomes pixels and a sentence becomes text: part of every index's fingerprint.

    Attributes:
        name: what users call it.
        size: side of the square given to the network, pixels.
        frames: frames taken from a clip.
        sampling: "middle" of equal parts (published evaluation), or "step": every n-th from the first (the reference's demo).
        filter: the resizing kernel. Without antialias, bicubic has a = -0.75 (torch, OpenCV); with it, a = -0.5 (Pillow).
        antialias: widen the kernel when shrinking, as Pillow does.
        fit: "stretch" to the square (aspect lost), or "crop": short side to `resize_side`, then the centre square.
        resize_side: pixels; only for fit "crop".
        mean, std: of the three channels, on a scale of 0 to 1.
        clean_text: lower-case and strip punctuation as the published evaluation does to its captions.
    """

    name: str
    size: int = 224
    frames: int = 8
    sampling: Literal["middle", "step"] = "middle"
    filter: Literal["bicubic", "bilinear"] = "bicubic"
    antialias: bool = False
    fit: Literal["stretch", "crop"] = "stretch"
    resize_side: int = 0
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    clean_text: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.size <= 4096 or not 1 <= self.frames <= 1024:
            raise UsageError(f"preset size {self.size} and frames {self.frames} must be 1..4096 and 1..1024")
        if self.fit == "crop" and self.resize_side < self.size:
            raise UsageError(f"preset resize_side {self.resize_side} must be at least its size {self.size}")

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Preset:
        """Read back what `dataclasses.asdict` wrote."""
        return cls(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})


def viclip_preset(name: str, *, size: int = 224, frames: int = 8) -> Preset:
    """Return one of the three measured ways to feed ViCLIP: "eval" (published numbers), "demo" (the notebook), "vbench".

    Source: OpenGVLab/InternVideo, Pretrain/ViCLIP evaluation code; Data/InternVid demo notebook; Vchitect/VBench utils.py.
    """
    presets = {
        "eval": Preset("eval", size=size, frames=frames, clean_text=True),
        "demo": Preset("demo", size=size, frames=frames, sampling="step", filter="bilinear"),
        "vbench": Preset("vbench", size=size, frames=frames, fit="crop", resize_side=size, mean=CLIP_MEAN, std=CLIP_STD),
    }
    if name not in presets:
        raise UsageError(f"unknown preset {name!r}; choose from {', '.join(presets)}")
    return presets[name]


@dataclass(frozen=True)
class Space:
    """Which vectors may be compared: those of one model, one set of weights, one network version and one preset.

    Attributes:
        encoder: the plug-in's name, "viclip", "openclip" or "conse".
        model: what a person calls it, such as "ViCLIP-L-14"; not part of the fingerprint.
        weights_sha256: of the tensors' names, shapes and values, whatever container they came in.
        network_version: raised when the same weights and pixels give other features.
        preset: how pixels and text are prepared.
        dim: length of a vector.
        source: where the query side finds its weights again (a name or a path); not part of the fingerprint.
    """

    encoder: str
    model: str
    weights_sha256: str
    network_version: int
    preset: Preset
    dim: int
    source: str = ""

    @property
    def id(self) -> str:
        """The fingerprint: 64 hex digits over everything that shapes a vector."""
        values = asdict(self)
        del values["model"], values["source"]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Space:
        """Read back what `dataclasses.asdict` wrote."""
        return cls(**{**values, "preset": Preset.from_json(values["preset"])})


EXTERNAL = "external"  # in place of an encoder's name


def external_space(dim: int) -> Space:
    """Return the space of vectors that someone brings without a model: they are asked by vector, and compared with any of their length."""
    return Space(EXTERNAL, "external vectors", "0" * 64, 1, Preset("none"), dim)
