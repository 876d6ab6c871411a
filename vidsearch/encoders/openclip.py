"""Any model of open_clip: pictures and sentences in one space, a clip as the mean of its frames.

    open_clip:ViT-L-14/openai        an architecture and published weights: from the models folder, the hub's cache or the hub
    open_clip:ViT-L-14/clip.pt       an architecture and a file
    open_clip:EVA02-L-14             an architecture whose only weights, published or in the models folder, are meant
    CLIP-L-14-OpenAI                 a name of `vidsearch models list`

Both sides need torch and open_clip (extra `index`), a query too: starting takes seconds. The network is in `_openclip_model`.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidsearch.catalogue import OPEN_CLIP, OPEN_CLIP_FILES, HubFile, clean_tag, file_stem, find, published
from vidsearch.config import Space
from vidsearch.errors import InputNotFoundError, UsageError
from vidsearch.extras import require
from vidsearch.hub import NotOnHubError, fetch
from vidsearch.settings import Settings, read_settings

if TYPE_CHECKING:
    from vidsearch.encoders.base import Encoder, TextEncoder

NETWORK_VERSION = 1  # raise it when the same weights and pixels would give other features
FRAMES = 8  # of a clip; the weights know no number


@dataclass(frozen=True)
class Weights:
    """What a source means."""

    architecture: str  # as open_clip calls it
    path: Path
    tag: str = ""  # of published weights: it says how they were trained


def recognises(source: str) -> bool:
    """Whether that begins with "open_clip:", or is the name of a published model of open_clip."""
    return _source_of(source).startswith(OPEN_CLIP)


def load(source: str, *, device: str, precision: str, preset: str | None) -> Encoder:
    """Load both towers; the one preset is the model's own preprocessing, eight frames from the middle of equal parts."""
    require("torch")
    weights = find_weights(source)
    from vidsearch.encoders._openclip_model import OpenCLIPEncoder

    return OpenCLIPEncoder.load(weights, device=device, precision=precision, preset=preset, source=_lasting_source(source, weights))


def load_text(space: Space, source: str | None) -> TextEncoder:
    """Load the text tower for vectors of `space`; it takes torch, open_clip and, to check them, the whole weights."""
    require("torch")
    weights = find_weights(source or space.source)
    from vidsearch.encoders._openclip_model import OpenCLIPTextEncoder

    return OpenCLIPTextEncoder.load_for(space, weights)


def find_weights(source: str) -> Weights:
    """Return the architecture and the file that a source means; published weights that are not here are downloaded."""
    named = _source_of(source)
    architecture, _, pretrained = named.removeprefix(OPEN_CLIP).partition("/")
    tags = _published_tags(architecture)
    if not pretrained:
        pretrained = _only_weights(architecture, tags)
    tag = clean_tag(pretrained)
    if tag in tags:
        return Weights(architecture, fetch_weights(f"{OPEN_CLIP}{architecture}/{tag}", settings=read_settings()), tag)
    for path in (Path(pretrained).expanduser(), Path("/" + pretrained)):
        if path.is_file():
            return Weights(architecture, path)
    if Path(pretrained).suffix:
        raise InputNotFoundError(f"no such checkpoint: {pretrained}")
    raise UsageError(f"unknown weights {pretrained!r} of {architecture}; choose a file or one of {', '.join(tags) or 'none published'}")


def fetch_weights(source: str, *, settings: Settings) -> Path:
    """Return the file of published weights, "open_clip:MODEL/TAG": of the models folder, the hub's cache, or downloaded into the folder."""
    there = find(source, settings.models)
    if there is not None:
        return there
    files = _hub_files(source)
    cached = next((path for file in files if (path := _cached(file)) is not None), None)
    if cached is not None:
        return cached
    targets = [settings.models / f"{file_stem(source)}{Path(file.name).suffix}" for file in files]
    by_hand = (
        f"get {files[0].name} from {settings.hub_endpoint}/{files[0].repository} on another machine and put it at {targets[0]}, "
        f"or name a file: {source.partition('/')[0]}/FILE"
    )
    for file, target in zip(files[:-1], targets, strict=False):
        try:
            return fetch(file, target, settings=settings, by_hand=by_hand)
        except NotOnHubError:  # an older repository has the next
            continue
    return fetch(files[-1], targets[-1], settings=settings, by_hand=by_hand)


def _source_of(source: str) -> str:
    model = published(source)
    return model.source if model else source


def _published_tags(architecture: str) -> list[str]:
    """Return the tags of an architecture's published weights, or raise with the nearest architectures."""
    open_clip: Any = require("open_clip")
    known: list[str] = open_clip.list_models()
    if architecture not in known:
        near = get_close_matches(architecture, known, n=3, cutoff=0.4)
        raise UsageError(
            f"unknown open_clip model {architecture!r}; {'did you mean ' + ', '.join(near) if near else 'see open_clip.list_models()'}"
        )
    tags: list[str] = open_clip.list_pretrained_tags_by_model(architecture)
    return tags


def _only_weights(architecture: str, tags: list[str]) -> str:
    """Return the tag or file meant by an architecture alone."""
    here = [tag for tag in tags if find(f"{OPEN_CLIP}{architecture}/{tag}", read_settings().models)]
    for choice in (here, tags):
        if len(choice) == 1:
            return choice[0]
    raise UsageError(
        f"which weights of {architecture}? name a file or one of {', '.join(tags) or 'none published'}: {OPEN_CLIP}{architecture}/WEIGHTS"
    )


def _hub_files(source: str) -> tuple[HubFile, ...]:
    model = published(source)
    if model is not None:
        return model.files
    architecture, _, tag = source.removeprefix(OPEN_CLIP).partition("/")
    _published_tags(architecture)
    known: dict[str, Any] = require("open_clip").get_pretrained_cfg(architecture, tag)
    repository, _, name = known.get("hf_hub", "").rpartition("/")
    if not repository:
        where = known.get("url")
        raise InputNotFoundError(
            f"{source} is not on the hub; get it from {where} and name the file: {OPEN_CLIP}{architecture}/FILE"
            if where
            else f"{architecture} has no published weights {tag!r}; choose from {', '.join(_published_tags(architecture)) or 'none'}"
        )
    return (HubFile(repository, name),) if name else tuple(HubFile(repository, file) for file in OPEN_CLIP_FILES)


def _cached(file: HubFile) -> Path | None:
    """Return the file where open_clip itself would have put it."""
    path = require("huggingface_hub").try_to_load_from_cache(file.repository, file.name, revision=file.revision)
    return Path(path) if isinstance(path, str) else None


def _lasting_source(source: str, weights: Weights) -> str:
    """Return a source that means the same from another folder."""
    return _source_of(source) if weights.tag else f"{OPEN_CLIP}{weights.architecture}/{weights.path.resolve()}"
