"""Get weights: from the hub into the models folder, and from any published container into ours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vidsearch.catalogue import OPEN_CLIP, VOCABULARY, PublishedModel, file_stem, find, published, published_or_refuse
from vidsearch.encoders._checkpoint import convert
from vidsearch.encoders._tokens import clip_merges
from vidsearch.errors import InputNotFoundError
from vidsearch.hub import fetch
from vidsearch.settings import Settings


@dataclass(frozen=True)
class Pulled:
    """What `pull` has put, or found, in the models folder.

    Attributes:
        source: what `--model` takes.
        path: its weights.
        text_path: the text-only half that makes a cold query fast; None where there is none.
        was_there: nothing was downloaded.
    """

    source: str
    path: Path
    text_path: Path | None = None
    was_there: bool = False


def pull(name: str, *, settings: Settings) -> Pulled:
    """Download published weights and make them ready; a second call goes on where the first was interrupted.

    Args:
        name: of `catalogue.MODELS`, or any "open_clip:MODEL/TAG".
        settings: the models folder and the hub.
    """
    model = published(name) if name.startswith(OPEN_CLIP) else published_or_refuse(name)
    source = model.source if model else name
    there = find(source, settings.models)
    if there is not None:
        return Pulled(source, there, was_there=True)
    if model is None or source.startswith(OPEN_CLIP):
        from vidsearch.encoders.openclip import fetch_weights

        return Pulled(source, fetch_weights(source, settings=settings))
    return _pull_viclip(model, settings)


def _pull_viclip(model: PublishedModel, settings: Settings) -> Pulled:
    """Download, check, convert; the download is deleted once its weights are safe in a file of ours."""
    file, target = model.files[0], settings.models / f"{model.name}.safetensors"
    suffix = Path(file.name).suffix
    by_hand = (
        f"get {file.name} from {settings.hub_endpoint}/{file.repository} on another machine and put it at "
        f"{settings.models / file_stem(model.source)}{suffix}"
    )
    downloaded = settings.models / "downloads" / f"{model.name}{suffix}"
    fetch(file, downloaded, settings=settings, by_hand=by_hand, sha256=model.sha256)
    _fetch_vocabulary(settings)
    converted = convert(downloaded, target)
    downloaded.unlink()
    return Pulled(model.source, converted.path, converted.text_path)


def _fetch_vocabulary(settings: Settings) -> None:
    """See that CLIP's vocabulary is here: open_clip brings it, else the hub does."""
    try:
        clip_merges()
    except InputNotFoundError:
        target = settings.models / VOCABULARY.name
        fetch(VOCABULARY, target, settings=settings, by_hand=f"put {VOCABULARY.name} of github.com/openai/CLIP into {settings.models}")
