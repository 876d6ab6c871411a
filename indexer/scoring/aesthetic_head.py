"""The small networks that make a picture's aesthetic score of its CLIP features.

    v1  github.com/LAION-AI/aesthetic-predictor            weight (1, 768), bias (1,)
    v2  github.com/christophschuhmann/improved-aesthetic-predictor
        layers.{0,2,4,6,7}                                 five linear layers with nothing between them: one linear map
        layers.{0,3,6,9,11}                                the same with a ReLU between any two (…-reluMSE.pth)

All take unit rows. Neither clips what it gives: most pictures score 3 to 7, and a feature that is not of length one 20 or more.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vidsearch.config import Space
from vidsearch.encoders._containers import Array, read_tensors
from vidsearch.encoders.base import Vectors
from vidsearch.errors import CheckpointError, InputNotFoundError, UsageError

OPENAI_L14 = "open_clip:ViT-L-14/openai"
LINEAR, RELU = (0, 2, 4, 6, 7), (0, 3, 6, 9, 11)  # where the layers lie among dropouts, and among ReLUs and dropouts

_LAYER = re.compile(r"layers\.(\d+)\.(weight|bias)")


@dataclass(frozen=True)
class PublishedHead:
    """A file of LAION's."""

    name: str
    file: str
    sha256: str
    page: str


PUBLISHED = {
    "v1": PublishedHead(
        "laion-v1",
        "sa_0_4_vit_l_14_linear.pth",
        "2cd4e60f4f24ae3bcd57b847b13c1f3ba27edc28cc1a7f9ce74ee9f421243cba",
        "github.com/LAION-AI/aesthetic-predictor",
    ),
    "v2": PublishedHead(
        "laion-v2",
        "sac+logos+ava1-l14-linearMSE.pth",
        "21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0",
        "github.com/christophschuhmann/improved-aesthetic-predictor",
    ),
}


@dataclass(frozen=True, repr=False)
class Layer:
    """x → x @ weight.T + bias; weight (out, in) and bias (out,), float64."""

    weight: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Head:
    """Features of pictures → their scores.

    Attributes:
        name: "laion-v1" or "laion-v2" where the file is theirs to the byte, else that of the file.
        sha256: of the file.
        layers: one where nothing lies between them; else there is a ReLU between any two.
    """

    name: str
    sha256: str
    layers: tuple[Layer, ...]

    def __repr__(self) -> str:
        return f"Head({self.name}, {self.dim} dimensions, {len(self.layers)} layers)"

    @property
    def dim(self) -> int:
        """Length of the features it takes."""
        return int(self.layers[0].weight.shape[1])

    @property
    def published(self) -> bool:
        """Whether it is one of LAION's, which take the features of OpenAI's CLIP ViT-L/14."""
        return self.name in {head.name for head in PUBLISHED.values()}

    def __call__(self, features: Vectors) -> npt.NDArray[np.float32]:
        """Return the scores (n,) of features (n, dim), unit rows."""
        values = features.astype(np.float64)
        for number, layer in enumerate(self.layers):
            values = (np.maximum(values, 0) if number else values) @ layer.weight.T + layer.bias
        return values[:, 0].astype(np.float32)


def find_head(named: str, models: Path) -> Path:
    """Return the file of "v1" or "v2", which belong into the models folder, or of another name, which is a file.

    Raises:
        InputNotFoundError: it is not there; says where to get it.
    """
    known = PUBLISHED.get(named)
    if known is None:
        path = Path(named).expanduser()
        if not path.is_file():
            raise InputNotFoundError(f"no head {named}; give v1, v2 or a file")
        return path
    path = models / known.file
    if not path.is_file():
        raise InputNotFoundError(f"no {path}; get that file from {known.page} and put it there, or name one with --head FILE")
    if _sha256(path) != known.sha256:
        raise CheckpointError(f"{path} is not the published {known.name}: its SHA-256 differs; get it again, or name it with --head FILE")
    return path


def read_head(path: Path) -> Head:
    """Read a head from a .pth (nothing in it is run) or .safetensors file; layers with nothing between them are folded into one."""
    tensors, _ = read_tensors(path)
    sha256 = _sha256(path)
    name = next((head.name for head in PUBLISHED.values() if head.sha256 == sha256), path.stem)
    if set(tensors) == {"weight", "bias"}:
        layers = (_layer(path, tensors["weight"], tensors["bias"]),)
        _check_chain(path, layers)
        return Head(name, sha256, layers)
    places = sorted({int(match[1]) for key in tensors if (match := _LAYER.fullmatch(key))})
    if tuple(places) not in (LINEAR, RELU) or set(tensors) != {f"layers.{place}.{part}" for place in places for part in ("weight", "bias")}:
        raise CheckpointError(
            f"{path} is no aesthetic head: it holds {', '.join(sorted(tensors)[:4])} …; known are weight and bias, "
            "layers.{0,2,4,6,7} (linear) and layers.{0,3,6,9,11} (ReLU)"
        )
    chain = tuple(_layer(path, tensors[f"layers.{place}.weight"], tensors[f"layers.{place}.bias"]) for place in places)
    _check_chain(path, chain)
    head = Head(name, sha256, chain)
    return fold(head) if tuple(places) == LINEAR else head


def fold(head: Head) -> Head:
    """Return the one linear map that layers with nothing between them are."""
    first, *others = head.layers
    for layer in others:
        first = Layer(layer.weight @ first.weight, layer.weight @ first.bias + layer.bias)
    return replace(head, layers=(first,))


def check_fit(head: Head, space: Space) -> None:
    """Refuse a model whose features are not those that a head was trained on; a file of the right architecture is taken at its word."""
    if space.encoder != "openclip":
        raise UsageError(f"{space.model} gives no features of single pictures; name a CLIP, such as --model {OPENAI_L14}")
    if head.dim != space.dim:
        raise UsageError(f"head {head.name} takes features of {head.dim} numbers, {space.model} gives {space.dim}; name its own CLIP")
    architecture, _, tag = space.model.partition("/")
    is_file = space.source.partition("/")[2].startswith("/")
    if not head.published or (architecture in ("ViT-L-14", "ViT-L-14-quickgelu") and _is_openai(space.preset.name, tag, is_file=is_file)):
        return
    advice = "; of a file, name the architecture ViT-L-14-quickgelu" if is_file else ""
    raise UsageError(f"head {head.name} was trained on the features of {OPENAI_L14}; {space.model} has others of the same length{advice}")


def _is_openai(preset: str, tag: str, *, is_file: bool) -> bool:
    """Whether weights may be OpenAI's: these have QuickGELU in place of GELU, as the preset's name says."""
    return preset.endswith("quickgelu") and (is_file or tag == "openai")


def _layer(path: Path, weight: Array, bias: Array) -> Layer:
    if weight.ndim != 2 or bias.shape != weight.shape[:1] or not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise CheckpointError(f"{path} is no aesthetic head: a weight {weight.shape} with a bias {bias.shape}, or numbers not finite")
    return Layer(weight.astype(np.float64), bias.astype(np.float64))


def _check_chain(path: Path, layers: tuple[Layer, ...]) -> None:
    shapes = [layer.weight.shape for layer in layers]
    if any(before[0] != after[1] for before, after in pairwise(shapes)) or shapes[-1][0] != 1:
        raise CheckpointError(f"{path} is no aesthetic head: layers {', '.join(map(str, shapes))} do not end in one number")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
