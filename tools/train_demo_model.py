"""Train the demo model: a tiny ViCLIP that knows the toy world of `indexer.toyworld` and nothing else.

    PYTHONPATH=. python tools/train_demo_model.py data/demo-viclip.safetensors      # under an hour on two cores

Contrastive learning as CLIP and ViCLIP do it (symmetric InfoNCE, learned temperature, masked patch tokens), with two changes that make
a tiny model see time early: a batch is made of groups that look the same and differ in motion only, and the embeddings of place and
time start as smooth waves instead of noise. Beside the contrast, a linear read-out that both towers share, and that is thrown away at
the end, must tell which colour has which shape and which motion: it pays for binding words and things from the first step. The text
tower, which is cheap, learns it first, so that the vision tower has something to aim at.
Batch number i depends on the seed and i alone, so a stopped run goes on where it was.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - the name every PyTorch reader knows
from torch import Tensor

from indexer._toywords import COLOURS, MOTIONS, SHAPES, TEXTURES, TONES
from indexer.toyrender import render, render_at
from indexer.toyvideos import encode_video
from indexer.toyworld import (
    Clip,
    Scene,
    describe,
    held_out_scenes,
    reverse,
    sample_scene,
    size_word,
    vary_motion,
    vary_setting,
)
from vidsearch.config import Preset, viclip_preset
from vidsearch.encoders import _tokens
from vidsearch.encoders._checkpoint import write_checkpoint
from vidsearch.encoders._viclip_net import NetConfig, ViCLIP
from vidsearch.resize import resize_frames
from vidsearch.sampling import choose_frames

FRAMES = 8
CONTEXT_LENGTH = 32
EVALUATION_SEED = 2026
FACTS = [  # what the read-out tells
    *product(TONES, TEXTURES),
    *product(COLOURS, SHAPES),
    *product(COLOURS, MOTIONS),
    *product(SHAPES, MOTIONS),
    *product(("large", "small"), COLOURS),
]


@dataclass(frozen=True)
class Recipe:
    """Everything that shapes the weights."""

    seed: int = 0
    steps: int = 1800
    batch: int = 64  # clips
    twins: int = 4  # clips of a batch that differ in motion only
    settings: int = 1122  # from this step on, the last of them differs in background or size only
    keep: int = 64  # patch tokens of a clip that a masked step looks at
    unmasked: int = 50  # last steps, that look at all tokens
    singles: int = 150  # first steps, that see one thing at a time
    german: float = 0.06  # part of the captions
    word_steps: int = 1000  # before all others, of captions alone
    read_out: float = 1.0  # weight of the read-out's loss beside the contrast's
    rate: float = 1.5e-3  # of learning
    decay: int = 490  # last steps, over which the rate falls to nothing
    size: int = 48
    patch: int = 8
    width: int = 128
    vision_layers: int = 4
    text_layers: int = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the checkpoint to write, .safetensors")
    parser.add_argument(
        "--state", type=Path, default=Path(".demo_model_cache"), help="a stopped run goes on from this folder (git-ignored)"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--minutes-per-save", type=float, default=5)
    parser.add_argument("--candidates", type=int, default=1000, help="held-out clips of the last evaluation")
    for name, value in vars(Recipe()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    options = vars(parser.parse_args())
    recipe = Recipe(**{name: options[name] for name in vars(Recipe())})
    torch.set_num_threads(options["threads"])
    train(recipe, options["out"], options["state"], save_every_s=60 * options["minutes_per_save"], candidates=options["candidates"])


# --- the training loop ---------------------------------------------------------------------------------------------------------------


def train(recipe: Recipe, out: Path, state: Path, *, save_every_s: float, candidates: int) -> None:
    """Train from where `state` stands to the last step, writing `out` at every save."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    merges = learn_merges(recipe)
    tokenizer = _tokens.Tokenizer(merges, context_length=CONTEXT_LENGTH)
    net = build_net(recipe, tokenizer.vocab_size).to(device)
    head = torch.nn.Linear(recipe.width, len(FACTS), device=device)
    torch.nn.init.constant_(head.bias, -3.0)  # most facts are false
    optimizer = torch.optim.AdamW(parameter_groups(net, head), lr=recipe.rate, betas=(0.9, 0.98), eps=1e-6, fused=True)
    first = load_state(state / "state.pt", net, head, optimizer)
    if first == 0:
        teach_words(net, head, tokenizer, recipe)
    data = torch.utils.data.DataLoader(ToyBatches(recipe, tokenizer, first), batch_size=None, num_workers=1, prefetch_factor=4)
    preset = viclip_preset("eval", size=recipe.size)
    saved, losses = time.monotonic(), []
    for step, batch in enumerate(data, start=first):
        pixels, tokens, keep, facts = (tensor.to(device) for tensor in batch)
        masked = step < recipe.steps - recipe.unmasked
        clips = F.normalize(net.encode_vision(normalise(pixels, preset), keep if masked else None), dim=-1)
        texts = F.normalize(net.encode_text(tokens), dim=-1)
        parts = contrast(clips, texts, net.temp), read_out_loss(head, clips, facts), read_out_loss(head, texts, facts)
        take_step(net, optimizer, parts[0] + recipe.read_out * (parts[1] + parts[2]), learning_rate(recipe, step))
        losses.append([part.item() for part in parts])
        if (step + 1) % 25 == 0:
            mean = np.mean(losses[-25:], axis=0).round(3).tolist()
            print(
                f"{time.strftime('%H:%M:%S')} step {step + 1} contrast, clip and text read-out {mean} temp {net.temp.item():.4f}",
                flush=True,
            )
        if time.monotonic() - saved > save_every_s or step + 1 == recipe.steps:
            save_state(state / "state.pt", net, head, optimizer, step + 1)
            write_model(out, net, merges, recipe, step + 1)
            if step + 1 < recipe.steps:
                print(json.dumps(evaluate(net, tokenizer, preset, count=min(300, candidates))), flush=True)
            saved = time.monotonic()
    for real_path in (False, True):
        print(json.dumps(evaluate(net, tokenizer, preset, count=candidates, real_path=real_path)), flush=True)


def teach_words(net: ViCLIP, head: torch.nn.Linear, tokenizer: _tokens.Tokenizer, recipe: Recipe) -> None:
    """Train the text tower and the read-out on captions alone, which costs a minute or two."""
    optimizer = torch.optim.AdamW([*net.text_encoder.parameters(), *head.parameters()], lr=recipe.rate, betas=(0.9, 0.98), fused=True)
    rng = np.random.default_rng((recipe.seed, 2**33))
    for step in range(recipe.word_steps):
        scenes = [sample_scene(rng, held_out=False) for _ in range(recipe.batch)]
        tokens = torch.from_numpy(tokenizer.encode([caption(scene, recipe, rng) for scene in scenes])).to(net.temp.device)
        facts = torch.from_numpy(np.stack([list_facts(scene) for scene in scenes])).to(net.temp.device)
        loss = read_out_loss(head, F.normalize(net.encode_text(tokens), dim=-1), facts)
        take_step(net, optimizer, loss, recipe.rate * min(1.0, (step + 1) / 50, 2 * (1 - step / recipe.word_steps)))
        if (step + 1) % 100 == 0:
            print(f"{time.strftime('%H:%M:%S')} words {step + 1} read-out {loss.item():.3f}", flush=True)


def contrast(clips: Tensor, texts: Tensor, temp: Tensor) -> Tensor:
    """Return the symmetric InfoNCE loss of unit rows (B, E) and (B, E)."""
    logits = clips @ texts.T / temp.clamp(min=0.01)  # (B, B)
    right = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2


def read_out_loss(head: torch.nn.Linear, features: Tensor, facts: Tensor) -> Tensor:
    """Return the cross-entropy of reading the facts (B, facts) off unit rows (B, E), summed over the facts and scaled to about 1."""
    logits = head(features * features.shape[1] ** 0.5)
    return F.binary_cross_entropy_with_logits(logits, facts, reduction="sum") / (10 * len(facts))


def take_step(net: ViCLIP, optimizer: torch.optim.Optimizer, loss: Tensor, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()


def learning_rate(recipe: Recipe, step: int) -> float:
    """A warm-up of 50 steps, level, and a straight fall at the end: until that begins, the number of steps may still be changed."""
    return recipe.rate * min(1.0, (step + 1) / 50, (recipe.steps - step) / recipe.decay)


def parameter_groups(net: ViCLIP, head: torch.nn.Linear) -> list[dict[str, Any]]:
    """Weight decay for matrices; none for biases, norms, embeddings of place and time, and the temperature."""
    named = dict(net.named_parameters())
    decayed = [name for name, value in named.items() if value.ndim >= 2 and "embedding" not in name]
    return [
        {"params": [named[name] for name in decayed], "weight_decay": 0.05},
        {"params": [value for name, value in named.items() if name not in decayed], "weight_decay": 0.0},
        {"params": list(head.parameters()), "weight_decay": 0.0},
    ]


def normalise(pixels: Tensor, preset: Preset) -> Tensor:
    """Return (B, T, 3, H, W) float32 of (B, T, H, W, 3) uint8."""
    mean, std = (torch.tensor(values, device=pixels.device) * 255 for values in (preset.mean, preset.std))
    return ((pixels.float() - mean) / std).permute(0, 1, 4, 2, 3)


# --- the network's first values ------------------------------------------------------------------------------------------------------


def build_net(recipe: Recipe, vocab_size: int) -> ViCLIP:
    """Return a ViCLIP with CLIP's initialisation (arXiv 2103.00020), but for smooth embeddings of place and time."""
    torch.manual_seed(recipe.seed)
    width = recipe.width
    net = ViCLIP(
        NetConfig(
            image_size=recipe.size,
            patch_size=recipe.patch,
            frames=FRAMES,
            vision_width=width,
            vision_layers=recipe.vision_layers,
            text_width=width,
            text_layers=recipe.text_layers,
            context_length=CONTEXT_LENGTH,
            vocab_size=vocab_size,
            embed_dim=width,
        )
    )
    torch.empty(vocab_size, width).normal_()  # keeps the random stream that the shipped model was made with
    with torch.no_grad():
        for name, value in net.named_parameters():
            init_parameter(name, value, width, recipe)
    return net


def init_parameter(name: str, value: Tensor, width: int, recipe: Recipe) -> None:
    layers = recipe.vision_layers if name.startswith("vision") else recipe.text_layers
    if name == "temp":
        value.fill_(0.07)
    elif name == "vision_encoder.positional_embedding":
        value.copy_(0.5 * torch.cat([torch.zeros(1, width), waves(recipe.size // recipe.patch, width, dims=2)]))
    elif name == "vision_encoder.temporal_positional_embedding":
        value.copy_(0.5 * waves(FRAMES, width, dims=1)[None])
    elif name.endswith("bias"):
        value.zero_()
    elif ".ln_" in name:
        value.fill_(1.0)
    elif name.endswith(("out_proj.weight", "c_proj.weight")):
        value.normal_(std=width**-0.5 * (2 * layers) ** -0.5)
    elif name.endswith("c_fc.weight"):
        value.normal_(std=(2 * width) ** -0.5)
    elif name.endswith("conv1.weight"):
        value.normal_(std=(3 * recipe.patch**2) ** -0.5)
    elif name.startswith("text_encoder") and "embedding" in name:
        value.normal_(std=0.02 if "token" in name else 0.01)
    else:
        value.normal_(std=width**-0.5)


def waves(length: int, width: int, *, dims: int) -> Tensor:
    """Return (length ** dims, width) of variance about 1: random mixtures of slow cosines, so that neighbours start alike."""
    place = (torch.arange(length) + 0.5) / length
    basis = torch.stack([math.sqrt(2) * torch.cos(math.pi * k * place) / k for k in range(1, length)])  # (waves, length)
    basis = basis / basis.pow(2).mean(1).sum().sqrt()
    one = [torch.einsum("kl,kd->ld", basis, torch.randn(len(basis), width)) for _ in range(dims)]
    if dims == 1:
        return one[0]
    return ((one[0][:, None] + one[1][None]) / math.sqrt(2)).flatten(0, 1)


# --- batches -------------------------------------------------------------------------------------------------------------------------


class ToyBatches(torch.utils.data.IterableDataset[tuple[Tensor, ...]]):
    """Batches from `first` to the last step: pixels (B, T, H, W, 3) uint8, tokens (B, L), kept patch tokens (B, M), facts (B, F)."""

    def __init__(self, recipe: Recipe, tokenizer: _tokens.Tokenizer, first: int) -> None:
        self.recipe, self.tokenizer, self.first = recipe, tokenizer, first

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        torch.set_num_threads(1)
        for step in range(self.first, self.recipe.steps):
            pixels, captions, keep, facts = make_batch(self.recipe, step)
            yield tuple(torch.from_numpy(array) for array in (pixels, self.tokenizer.encode(captions), keep, facts))


def make_batch(recipe: Recipe, step: int) -> tuple[Clip, list[str], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    rng = np.random.default_rng((recipe.seed, step))
    clips: list[Clip] = []
    captions: list[str] = []
    facts: list[npt.NDArray[np.float32]] = []
    while len(clips) < recipe.batch:
        count = 1 if step < recipe.singles else int(rng.choice((1, 2, 3), p=(0.3, 0.4, 0.3)))
        for scene in sample_twins(rng, count, recipe.twins, settings=step >= recipe.settings):
            clips.append(augment(scene, recipe.size, rng))
            facts.append(list_facts(scene))
            captions.append(caption(scene, recipe, rng))
    pixels = np.stack(clips[: recipe.batch])
    return pixels, captions[: recipe.batch], choose_tokens(pixels, recipe, rng), np.stack(facts[: recipe.batch])


def caption(scene: Scene, recipe: Recipe, rng: np.random.Generator) -> str:
    language = "de" if rng.random() < recipe.german else "en"
    return _tokens.clean_caption(describe(scene, rng, complete=bool(rng.random() < 0.6), language=language))


def list_facts(scene: Scene) -> npt.NDArray[np.float32]:
    """Return 1 for each of FACTS that is true of the scene, else 0."""
    true = {(scene.tone, scene.texture)}
    for thing in scene.things:
        true |= {
            (thing.colour, thing.shape),
            (thing.colour, thing.motion),
            (thing.shape, thing.motion),
            (size_word(scene, thing), thing.colour),
        }
    return np.array([fact in true for fact in FACTS], dtype=np.float32)


def sample_twins(rng: np.random.Generator, count: int, twins: int, *, settings: bool) -> list[Scene]:
    """Return scenes that look the same and move differently; the second is the first played backwards where that differs.

    With `settings`, the last has the first's motions and another background or other sizes.
    """
    scenes = [sample_scene(rng, count=count, held_out=False)]
    backwards = reverse(scenes[0])
    if backwards is not None:
        scenes.append(backwards)
    for _ in range(10 * twins):
        if len(scenes) >= twins - settings:
            break
        other = vary_motion(scenes[0], rng, held_out=False)
        if other.key not in [scene.key for scene in scenes]:
            scenes.append(other)
    return [*scenes, vary_setting(scenes[0], rng)] if settings else scenes


def augment(scene: Scene, size: int, rng: np.random.Generator) -> Clip:
    """Render as a decoder might deliver it: other instants, softer or harder edges, brightness, contrast, tint and noise."""
    start, end = rng.uniform(-0.04, 0.04), 1 + rng.uniform(-0.06, 0.04)
    instants = start + (np.arange(FRAMES) + 0.5 + rng.uniform(-0.12, 0.12, FRAMES)) / FRAMES * (end - start)
    clip = render_at(scene, np.clip(instants, 0, 1), size=size, softness=float(rng.uniform(0.3, 1.5))).astype(np.float32)
    contrast, tint = rng.uniform(0.85, 1.12), rng.normal(0, 5, 3) + rng.normal(0, 7)
    clip = (clip - 120) * np.float32(contrast) + (120 + tint).astype(np.float32)
    if rng.random() < 0.7:
        clip += np.float32(rng.uniform(1, 7)) * rng.standard_normal(clip.shape, dtype=np.float32)
    return np.clip(clip, 0, 255).astype(np.uint8)


def choose_tokens(pixels: Clip, recipe: Recipe, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return (B, keep) positions of patch tokens in the order (N T): coloured patches first, the greyish background fills up.

    A mask blind to content would hide a small thing from most frames, and with it its motion.
    """
    batch, side = len(pixels), recipe.size // recipe.patch
    thin = pixels[:, :, 1::2, 1::2].astype(np.int16)
    colourful = (thin.max(-1) - thin.min(-1)) > 60
    share = colourful.reshape(batch, FRAMES, side, recipe.patch // 2, side, recipe.patch // 2).mean((3, 5))  # (B, T, h, w)
    score = rng.random((batch, side * side * FRAMES)) + 0.7 * (share > 0.08).transpose(0, 2, 3, 1).reshape(batch, -1)
    return np.argsort(-score, axis=1)[:, : recipe.keep].astype(np.int64)


# --- the tokenizer -------------------------------------------------------------------------------------------------------------------


def learn_merges(recipe: Recipe, *, captions: int = 6000, merges: int = 1200) -> list[_tokens.Merge]:
    """Learn byte pair merges from toy captions (Sennrich et al. 2016) until no word is in pieces, or there are `merges`."""
    rng = np.random.default_rng((recipe.seed, 2**32))
    words: Counter[str] = Counter()
    for number in range(captions):
        language = "de" if number % 10 == 0 else "en"
        words.update(_tokens.split_words(_tokens.clean_caption(describe(sample_scene(rng, held_out=False), rng, language=language))))
    table = _tokens._byte_symbols()
    pieces = {word: [*(table[byte] for byte in word.encode())] for word in words}
    for symbols in pieces.values():
        symbols[-1] += _tokens.END_OF_WORD
    learnt: list[_tokens.Merge] = []
    while len(learnt) < merges:
        pairs: Counter[_tokens.Merge] = Counter()
        for word, symbols in pieces.items():
            for pair in pairwise(symbols):
                pairs[pair] += words[word]
        if not pairs:
            break
        learnt.append(max(pairs, key=lambda pair: (pairs[pair], pair)))
        pieces = {word: _tokens._join_pair(symbols, learnt[-1]) for word, symbols in pieces.items()}
    return learnt


# --- what it can do ------------------------------------------------------------------------------------------------------------------


def evaluate(net: ViCLIP, tokenizer: _tokens.Tokenizer, preset: Preset, *, count: int, real_path: bool = False) -> dict[str, float]:
    """Return text→video recall and the part of reversed pairs told apart, over `count` held-out scenes.

    Args:
        real_path: through h264 files of 128 pixels, decoded, sampled and resized as the indexer does it, instead of straight from memory.
    """
    show = through_file if real_path else lambda scene, preset: render(scene, size=preset.size, frames=preset.frames)
    rng = np.random.default_rng(1)
    scenes = held_out_scenes(count, seed=EVALUATION_SEED)
    captions = [_tokens.clean_caption(describe(scene, rng, complete=True)) for scene in scenes]
    with torch.inference_mode():
        texts = encode_captions(net, tokenizer, captions)
        clips = encode_scenes(net, preset, [show(scene, preset) for scene in scenes])
        scores = texts @ clips.T
        ranks = (scores > scores.diag()[:, None]).sum(1)  # 0 is the best
        pairs = [(place, backwards) for place, scene in enumerate(scenes) if (backwards := reverse(scene)) is not None][: count // 2]
        others = encode_scenes(net, preset, [show(backwards, preset) for _, backwards in pairs])
    places = [place for place, _ in pairs]
    ordered = (texts[places] * clips[places]).sum(1) > (texts[places] * others).sum(1)
    single = torch.tensor([len(scenes[place].things) == 1 for place in places])
    return {
        "candidates": count, "real_path": real_path, "R@1": round((ranks < 1).float().mean().item(), 4),
        "R@5": round((ranks < 5).float().mean().item(), 4), "reversed_pairs": len(pairs), "order": round(ordered.float().mean().item(), 4),
        "order_single": round(ordered.cpu()[single].float().mean().item(), 4),
    }  # fmt: skip


def encode_captions(net: ViCLIP, tokenizer: _tokens.Tokenizer, captions: list[str]) -> Tensor:
    tokens = torch.from_numpy(tokenizer.encode(captions)).to(net.temp.device)
    return F.normalize(net.encode_text(tokens), dim=-1)


def encode_scenes(net: ViCLIP, preset: Preset, clips: list[Clip]) -> Tensor:
    batches = [torch.from_numpy(np.stack(clips[first : first + 64])).to(net.temp.device) for first in range(0, len(clips), 64)]
    return torch.cat([F.normalize(net.encode_vision(normalise(batch, preset)), dim=-1) for batch in batches])


def through_file(scene: Scene, preset: Preset) -> Clip:
    """Return the preset's frames of the scene as an h264 file gives them back."""
    import av

    file = io.BytesIO()
    encode_video(file, render(scene, size=128, frames=30), rate=10)
    with av.open(io.BytesIO(file.getvalue())) as container:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    return resize_frames(frames[list(choose_frames(len(frames), preset))], preset)


# --- files ---------------------------------------------------------------------------------------------------------------------------


def save_state(path: Path, net: ViCLIP, head: torch.nn.Linear, optimizer: torch.optim.Optimizer, step: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    state = {"net": net.state_dict(), "head": head.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
    torch.save(state, unfinished)
    unfinished.replace(path)


def load_state(path: Path, net: ViCLIP, head: torch.nn.Linear, optimizer: torch.optim.Optimizer) -> int:
    """Load what `save_state` wrote, if it is there; return the step to go on with."""
    if not path.is_file():
        return 0
    state = torch.load(path, weights_only=True, map_location=net.temp.device)
    net.load_state_dict(state["net"])
    head.load_state_dict(state["head"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def write_model(out: Path, net: ViCLIP, merges: list[_tokens.Merge], recipe: Recipe, step: int) -> None:
    tensors = {name: value.detach().half() for name, value in net.state_dict().items()}
    notes = f"trained by tools/train_demo_model.py on indexer.toyworld, {step} of {recipe.steps} steps, {recipe}"
    write_checkpoint(out, tensors, model="demo-viclip", merges=merges, notes=notes)


if __name__ == "__main__":
    main()
