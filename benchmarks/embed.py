"""Clips a second of vidsearch's ViCLIP against a plain float32 forward of the same network, taking turns in one run.

    python benchmarks/embed.py --model B/16 --clips 2 --rounds 3 --threads 1

The plain network is what the published code does: `nn.MultiheadAttention`, every token through every block, pixels already float32 on the
device. Weights are random but seeded: speed does not depend on them, and the cosine between both is a check, not a score. On a CPU what is
counted are CPU seconds of this process, the same on a busy machine; on a GPU, seconds.
"""

from __future__ import annotations

import argparse
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from statistics import median

import numpy as np
import torch
from _machine import describe
from torch import Tensor, nn

from vidsearch.config import Space, viclip_preset
from vidsearch.encoders._tokens import Tokenizer
from vidsearch.encoders._torch import has_fast_bfloat16
from vidsearch.encoders._viclip_encoder import ViCLIPEncoder
from vidsearch.encoders._viclip_net import HEAD_WIDTH, NetConfig, ViCLIP

SIZES = {
    "B/16": NetConfig(224, 16, 8, 768, 12, 512, 12, 32, 514, 512),
    "L/14": NetConfig(224, 14, 8, 1024, 24, 768, 12, 32, 514, 768),
}


class PlainVisionTower(nn.Module):
    """The vision tower as the published code writes it, under the same parameter names."""

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        width, patch = config.vision_width, config.patch_size
        self.conv1 = nn.Conv3d(3, width, (1, patch, patch), (1, patch, patch), bias=False)
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.positional_embedding = nn.Parameter(torch.empty((config.image_size // patch) ** 2 + 1, width))
        self.temporal_positional_embedding = nn.Parameter(torch.empty(1, config.frames, width))
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = nn.ModuleDict({"resblocks": nn.Sequential(*(PlainBlock(width) for _ in range(config.vision_layers)))})
        self.proj = nn.Parameter(torch.empty(width, config.embed_dim))

    def forward(self, pixels: Tensor) -> Tensor:  # (B, T, 3, H, W)
        x = self.conv1(pixels.transpose(1, 2)).flatten(3).permute(0, 3, 2, 1)  # (B, N, T, D)
        x = (x + self.positional_embedding[1:, None] + self.temporal_positional_embedding[:, None]).flatten(1, 2)
        first = (self.class_embedding + self.positional_embedding[0]).expand(len(x), 1, -1)
        x = self.ln_pre(torch.cat([first, x], dim=1)).transpose(0, 1)  # (1 + N T, B, D), as nn.MultiheadAttention likes it
        x = self.transformer["resblocks"](x)
        features: Tensor = self.ln_post(x[0]) @ self.proj
        return features


class PlainBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, width // HEAD_WIDTH)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        layers = OrderedDict(c_fc=nn.Linear(width, 4 * width), gelu=QuickGELU(), c_proj=nn.Linear(4 * width, width))
        self.mlp = nn.Sequential(layers)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.ln_1(x)
        x = x + self.attn(normed, normed, normed, need_weights=False)[0]
        after: Tensor = x + self.mlp(self.ln_2(x))
        return after


class QuickGELU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=SIZES, default="B/16")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--clips", type=int, default=2, help="clips of one forward")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    place = torch.device(options.device)
    describe_machine(place, options)
    compare(SIZES[options.model], place, options)


def describe_machine(place: torch.device, options: argparse.Namespace) -> None:
    print(describe("torch", "numpy", seed=options.seed))
    chip = torch.cuda.get_device_name(place) if place.type == "cuda" else f"the CPU, {options.threads} threads"
    print(f"{options.model} on {chip}; bfloat16 in hardware: {'yes' if has_fast_bfloat16(place) else 'no, so precision auto is float32'}")


@torch.inference_mode()
def compare(config: NetConfig, place: torch.device, options: argparse.Namespace) -> None:
    state = random_weights(config, options.seed)
    rng = np.random.default_rng(options.seed)
    pixels = rng.integers(0, 256, (options.clips, config.frames, config.image_size, config.image_size, 3), dtype=np.uint8)
    precisions = ("float32", "bfloat16") if has_fast_bfloat16(place) else ("float32",)
    encoders = {precision: make_encoder(config, state, place, precision) for precision in precisions}
    plain = make_plain(config, state, place)
    preset = encoders["float32"].preset
    floats = torch.from_numpy(((pixels / 255 - preset.mean) / preset.std).astype(np.float32)).permute(0, 1, 4, 2, 3).contiguous().to(place)

    runs: dict[str, Callable[[], np.ndarray]] = {"plain float32": lambda: plain(floats).cpu().numpy()}
    runs |= {f"vidsearch {name}": partial(encoder.encode_pixels, pixels) for name, encoder in encoders.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    vectors = {}
    clock = time.perf_counter if place.type == "cuda" else time.process_time
    for turn in range(options.rounds + 1):  # the first warms up
        for name, run in runs.items():
            start = clock()
            vectors[name] = run()
            if turn:
                seconds[name].append(clock() - start)
    print_table(seconds, vectors, options.clips)


def print_table(seconds: dict[str, list[float]], vectors: dict[str, np.ndarray], clips: int) -> None:
    reference = vectors["plain float32"]
    reference = reference / np.linalg.norm(reference, axis=1, keepdims=True)
    base = seconds["plain float32"]
    print(f"{'':22s} {'clips/s':>9s} {'ratio':>7s} {'lowest cosine':>14s}")
    for name, taken in seconds.items():
        unit = vectors[name] / np.linalg.norm(vectors[name], axis=1, keepdims=True)
        ratio = median(plain / ours for plain, ours in zip(base, taken, strict=True))  # of neighbours in time
        print(f"{name:22s} {clips / median(taken):9.3f} {ratio:7.3f} {(unit * reference).sum(axis=1).min():14.7f}")


def make_encoder(config: NetConfig, state: dict[str, Tensor], place: torch.device, precision: str) -> ViCLIPEncoder:
    with torch.device("meta"):
        net = ViCLIP(config)
    net.load_state_dict(state, assign=True)
    preset = viclip_preset("eval", size=config.image_size, frames=config.frames)
    space = Space("viclip", "random", "0" * 64, 0, preset, config.embed_dim)
    return ViCLIPEncoder(space, net.eval().to(place), Tokenizer((), context_length=config.context_length), place, precision)


def make_plain(config: NetConfig, state: dict[str, Tensor], place: torch.device) -> PlainVisionTower:
    with torch.device("meta"):
        net = PlainVisionTower(config)
    prefix = "vision_encoder."
    net.load_state_dict({name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}, assign=True)
    return net.eval().to(place)


def random_weights(config: NetConfig, seed: int) -> dict[str, Tensor]:
    """Return weights at the scales of a trained CLIP, so that attention and activations look like work."""
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in ViCLIP(config).state_dict().items()}
    weights = {}
    for name, shape in shapes.items():
        noise = torch.randn(shape, generator=generator)
        if ".ln_" in name:
            weights[name] = 0.05 * noise + float(name.endswith("weight"))
        elif name.endswith("bias"):
            weights[name] = 0.02 * noise
        else:
            weights[name] = noise * max(1, noise[0].numel() if noise.dim() > 1 else noise.numel()) ** -0.5
    return weights


if __name__ == "__main__":
    main()
