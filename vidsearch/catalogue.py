"""Published weights: where they are, what they were trained on and what their authors measured. Data only.

Sources: "InternVid: A Large-scale Video-Text Dataset for Multimodal Understanding and Generation" (arXiv 2307.06942v2), tables 1, 5 and
11; the model cards of OpenGVLab on the Hugging Face hub; open_clip's list of pretrained weights. What none of them states is None.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from vidsearch.errors import UsageError

OPEN_CLIP = "open_clip:"  # how a name of the open_clip encoder begins
OPEN_CLIP_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")  # of a hub repository, the first that is there
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


@dataclass(frozen=True)
class HubFile:
    """One file of the hub."""

    repository: str
    name: str
    revision: str = "main"


@dataclass(frozen=True)
class PublishedModel:
    """One set of published weights.

    Attributes:
        name: what `vidsearch models pull` and `--model` take.
        source: the same for the encoder: a name of the models folder, or "open_clip:MODEL/TAG".
        files: on the hub, the first that is there; all hold the same weights.
        data: what it was trained on.
        size_gb: as the hub shows it, of the file published.
        size_bytes, sha256: of that file, where known exactly.
        gated: the hub asks for an account that has accepted the licence.
        k400_top1, k400_avg: zero-shot accuracy on Kinetics-400, percent; avg is the mean of top-1 and top-5.
        msrvtt_t2v, msrvtt_v2t: zero-shot R@1 on MSR-VTT 1k-A, percent, text to video and video to text.
        note: what else one should know.
    """

    name: str
    source: str
    files: tuple[HubFile, ...]
    data: str | None = None
    size_gb: float | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    gated: bool = False
    k400_top1: float | None = None
    k400_avg: float | None = None
    msrvtt_t2v: float | None = None
    msrvtt_v2t: float | None = None
    note: str = ""


Scores = tuple[float | None, float | None]
UNPUBLISHED: Scores = (None, None)


def _viclip(name: str, data: str, *, k400: Scores, msrvtt: Scores) -> PublishedModel:
    """Return one of the eight training checkpoints of OpenGVLab/ViCLIP."""
    file = HubFile("OpenGVLab/ViCLIP", f"{name}.pth")
    return _scored(PublishedModel(name, name, (file,), data, gated=True), k400=k400, msrvtt=msrvtt)


def _open_clip(name: str, tag: str, repository: str, data: str, *, k400: Scores, msrvtt: Scores) -> PublishedModel:
    """Return one of open_clip's; `tag` is MODEL/PRETRAINED."""
    files = tuple(HubFile(repository, file) for file in OPEN_CLIP_FILES)
    return _scored(PublishedModel(name, OPEN_CLIP + tag, files, data), k400=k400, msrvtt=msrvtt)


def _scored(model: PublishedModel, *, k400: Scores, msrvtt: Scores) -> PublishedModel:
    return replace(model, k400_top1=k400[0], k400_avg=k400[1], msrvtt_t2v=msrvtt[0], msrvtt_v2t=msrvtt[1])


VICLIP = (
    replace(
        _viclip("ViCLIP-L_InternVid-FLT-10M", "InternVid-10M-FLT", k400=(64.80, 75.70), msrvtt=(42.4, 41.3)),
        size_gb=4.1,
        size_bytes=4_142_600_732,
        sha256="d49b83b8c236e65778aaed3824053e1d930ea1993706d171b574a8bdb69ceecf",
        note="a whole training checkpoint; the pull keeps the weights alone, 1.7 GB",
    ),
    _viclip("ViCLIP-L_InternVid-DIV-10M", "InternVid-10M-DIV", k400=(63.00, 74.15), msrvtt=(41.5, 41.6)),
    _viclip("ViCLIP-L_InternVid-200M", "InternVid-200M", k400=(59.80, 71.09), msrvtt=(39.3, 39.5)),
    _viclip("ViCLIP-L_InternVid-50M", "InternVid-50M", k400=(57.18, 68.93), msrvtt=(39.7, 40.7)),
    _viclip("ViCLIP-L_InternVid-10M", "InternVid-10M", k400=(56.68, 68.17), msrvtt=(36.4, 37.1)),
    _viclip("ViCLIP-L_WebVid-10M", "WebVid-10M", k400=(59.88, 71.03), msrvtt=(35.6, 33.1)),
    _viclip("ViCLIP-B_InternVid-FLT-10M", "InternVid-10M-FLT", k400=(58.52, 71.11), msrvtt=(38.6, 38.5)),
    _viclip("ViCLIP-B_InternVid-200M", "InternVid-200M", k400=(56.58, 69.20), msrvtt=UNPUBLISHED),
)
HF_L14 = HubFile("OpenGVLab/ViCLIP-L-14-hf", "model.safetensors", "1652361522e1cb41c28cdfae870f690d00e7456b")
VOCABULARY = HubFile(HF_L14.repository, "bpe_simple_vocab_16e6.txt.gz", HF_L14.revision)  # CLIP's, which every ViCLIP uses
OTHER_VICLIP = (
    PublishedModel(
        "ViCLIP-L-14-hf",
        "ViCLIP-L-14-hf",
        (HF_L14,),
        size_gb=1.7,
        note="safetensors; which training it holds is not stated",
    ),
    PublishedModel(
        "ViCLIP-B-16-hf",
        "ViCLIP-B-16-hf",
        (HubFile("OpenGVLab/ViCLIP-B-16-hf", "model.safetensors", "8484a9cb5b1b86e43c3ded53abe7485f52d8b789"),),
        size_gb=0.6,
        note="safetensors; which training it holds is not stated",
    ),
    PublishedModel(
        "ViClip-InternVid-10M-FLT",
        "ViClip-InternVid-10M-FLT",
        (HubFile("OpenGVLab/VBench_Used_Models", "ViClip-InternVid-10M-FLT.pth"),),
        "InternVid-10M-FLT",
        size_gb=1.7,
        sha256="7a4d6ad6eac6632db3693f4b97f9f8f6445b65b1e139a6fc6686150522238c56",
        note="L/14; VBench's; other weights than ViCLIP-L_InternVid-FLT-10M, whose published numbers may not be its own",
    ),
)


CLIP = (
    _open_clip(
        "CLIP-L-14-OpenAI",
        "ViT-L-14/openai",
        "timm/vit_large_patch14_clip_224.openai",
        "CLIP-400M",
        k400=(58.42, 70.14),
        msrvtt=(29.0, 25.8),
    ),
    _open_clip(
        "CLIP-L-14-DataComp",
        "ViT-L-14/datacomp_xl_s13b_b90k",
        "laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K",
        "DataComp-1B",
        k400=(56.14, 67.67),
        msrvtt=(30.4, 24.2),
    ),
    _open_clip(
        "EVA-CLIP-L-14",
        "EVA02-L-14/merged2b_s4b_b131k",
        "timm/eva02_large_patch14_clip_224.merged2b_s4b_b131k",
        "Merged-2B",
        k400=(None, 65.00),
        msrvtt=UNPUBLISHED,
    ),
    replace(
        _open_clip(
            "EVA-CLIP-E-14",
            "EVA02-E-14/laion2b_s4b_b115k",
            "timm/eva02_enormous_patch14_clip_224.laion2b_s4b_b115k",
            "LAION-2B",
            k400=(None, 69.80),
            msrvtt=UNPUBLISHED,
        ),
        note="4.7 billion parameters; the paper does not say which of two LAION-2B models it measured",
    ),
)
MODELS = (*VICLIP, *OTHER_VICLIP, *CLIP)


def published(name: str) -> PublishedModel | None:
    """Return the entry of that name or source, whatever the case of its letters."""
    return next((model for model in MODELS if name.lower() in (model.name.lower(), model.source.lower())), None)


def published_or_refuse(name: str) -> PublishedModel:
    """Return the entry of that name, or raise UsageError with the nearest names."""
    model = published(name)
    if model is None:
        known = {other.name.lower(): other.name for other in MODELS}
        near = get_close_matches(name.lower(), known, n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(known[match] for match in near)}?" if near else "see: vidsearch models list"
        raise UsageError(f"unknown model {name!r}; {hint}")
    return model


def find(source: str, folder: Path) -> Path | None:
    """Return the weights of a name or source in the models folder, or None."""
    model = published(source)
    stem = file_stem(model.source if model else source)
    return next((path for suffix in SUFFIXES if (path := folder / f"{stem}{suffix}").is_file()), None)


def file_stem(source: str) -> str:
    """Return where a source's weights belong in the models folder, without an ending: open_clip:A/B is open_clip/A--B."""
    if not source.startswith(OPEN_CLIP):
        return source
    architecture, _, tag = source.removeprefix(OPEN_CLIP).partition("/")
    return f"open_clip/{architecture}--{clean_tag(tag)}"


def clean_tag(tag: str) -> str:
    """Return a tag of published weights as open_clip spells it."""
    return tag.lower().replace("-", "_")
