"""The ViCLIP network in one file: a CLIP with space-time attention over the patches of eight frames.

After "InternVid: A Large-scale Video-Text Dataset for Multimodal Understanding and Generation" (arXiv 2307.06942) and
"Learning Transferable Visual Models From Natural Language Supervision" (arXiv 2103.00020). Parameter names and shapes are those of
the published checkpoints, so their tensors load unchanged; every size is read off those shapes.

    B batch   T frames   N patches of a frame   D width   E width of the joint space   L text positions
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidsearch.errors import UsageError

HEAD_WIDTH = 64  # of every CLIP and ViCLIP


@dataclass(frozen=True)
class NetConfig:
    """Sizes of one ViCLIP; `from_shapes` reads them off a checkpoint."""

    image_size: int  # pixels, square
    patch_size: int  # pixels, square
    frames: int
    vision_width: int
    vision_layers: int
    text_width: int
    text_layers: int
    context_length: int  # tokens
    vocab_size: int
    embed_dim: int

    def __post_init__(self) -> None:
        for name, size in vars(self).items():
            if not 1 <= size < 2**20 or (name.endswith("_layers") and size > 256):
                raise UsageError(f"no ViCLIP has a {name} of {size}")
            if name.endswith("_width") and size % max(1, size // HEAD_WIDTH):
                raise UsageError(f"a {name} of {size} does not divide into heads of {HEAD_WIDTH}")

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> NetConfig:
        """Read the sizes off the shapes of a checkpoint's tensors; a missing name raises KeyError."""
        context_length, text_width = shapes["text_encoder.positional_embedding"]
        return cls(
            **_vision_sizes(shapes),
            text_width=text_width,
            text_layers=_count_blocks(shapes, "text_encoder"),
            context_length=context_length,
            vocab_size=shapes["text_encoder.token_embedding.weight"][0],
            embed_dim=shapes["text_encoder.text_projection"][1],
        )

    @classmethod
    def of_vision(cls, shapes: Mapping[str, tuple[int, ...]]) -> NetConfig:
        """Read the sizes of a vision tower alone, with 1 for those of a text; without a projection, features are as wide as the tower."""
        vision = _vision_sizes(shapes)
        embed_dim = shapes.get("vision_encoder.proj", (vision["vision_width"],))[-1]
        return cls(**vision, text_width=1, text_layers=1, context_length=1, vocab_size=1, embed_dim=embed_dim)


def _vision_sizes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    vision_width, _, _, patch_size, _ = shapes["vision_encoder.conv1.weight"]
    grid = round((shapes["vision_encoder.positional_embedding"][0] - 1) ** 0.5)
    return {
        "image_size": grid * patch_size,
        "patch_size": patch_size,
        "frames": shapes["vision_encoder.temporal_positional_embedding"][1],
        "vision_width": vision_width,
        "vision_layers": _count_blocks(shapes, "vision_encoder"),
    }


def _count_blocks(shapes: Mapping[str, tuple[int, ...]], tower: str) -> int:
    prefix = f"{tower}.transformer.resblocks."
    return len({name[len(prefix) :].split(".", 1)[0] for name in shapes if name.startswith(prefix)})


class ViCLIP(nn.Module):
    """Both towers and the temperature. Build it under `torch.device("meta")` and assign a checkpoint to it."""

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        self.config = config
        self.temp = nn.Parameter(torch.empty(()))
        self.vision_encoder = VisionTower(config)
        self.text_encoder = TextTower(config)

    def encode_vision(self, pixels: Tensor, keep: Tensor | None = None) -> Tensor:
        """Return features (B, E), not normalised, of `pixels` (B, T, 3, H, W), normalised; T is 1 or the trained number.

        `keep` (B, M) are the patch tokens that a masked training step looks at, as positions in the order (N T); None is all of them.
        """
        features: Tensor = self.vision_encoder(pixels, keep)
        return features

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Return features (B, E), not normalised, of token ids (B, L); the end-of-text token has the highest id."""
        features: Tensor = self.text_encoder(tokens)
        return features


class VisionTower(nn.Module):
    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        width, patch = config.vision_width, config.patch_size
        patches = (config.image_size // patch) ** 2
        self.conv1 = nn.Conv3d(3, width, kernel_size=(1, patch, patch), stride=(1, patch, patch), bias=False)
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.positional_embedding = nn.Parameter(torch.empty(patches + 1, width))
        self.temporal_positional_embedding = nn.Parameter(torch.empty(1, config.frames, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Transformer(width, config.vision_layers, causal=False)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.empty(width, config.embed_dim))

    def forward(self, pixels: Tensor, keep: Tensor | None = None) -> Tensor:
        return self.before_projection(pixels, keep) @ self.proj

    def before_projection(self, pixels: Tensor, keep: Tensor | None = None) -> Tensor:
        """Return (B, D), what the last projection is given."""
        x = self.conv1(pixels.transpose(1, 2))  # (B, 3, T, H, W) -> (B, D, T, h, w)
        x = x.flatten(3).permute(0, 3, 2, 1)  # (B, N, T, D)
        x = x + self.positional_embedding[1:, None] + self._temporal_embedding(x.shape[2])
        x = x.flatten(1, 2)  # (B, N*T, D): patch-major, as the checkpoints were trained
        if keep is not None:
            x = x.gather(1, keep[:, :, None].expand(-1, -1, x.shape[2]))
        first = (self.class_embedding + self.positional_embedding[0]).expand(x.shape[0], 1, -1)
        x = self.ln_pre(torch.cat([first.to(x.dtype), x], dim=1))  # (B, 1 + N*T, D)
        x = self.transformer(x, only_first=True)  # (B, 1, D)
        features: Tensor = self.ln_post(x[:, 0])
        return features

    def _temporal_embedding(self, frames: int) -> Tensor:
        """Return (1, 1, T, D), or its mean over time for a single frame, as the reference has it."""
        embedding = self.temporal_positional_embedding[:, None]
        return embedding.mean(dim=2, keepdim=True) if frames == 1 else embedding


class TextTower(nn.Module):
    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        # A weight is given because the random one, on the meta device, would import torch's compiler: seven seconds.
        weight = torch.empty(config.vocab_size, config.text_width)
        self.token_embedding = nn.Embedding(config.vocab_size, config.text_width, _weight=weight)
        self.positional_embedding = nn.Parameter(torch.empty(config.context_length, config.text_width))
        self.transformer = Transformer(config.text_width, config.text_layers, causal=True)
        self.ln_final = nn.LayerNorm(config.text_width)
        self.text_projection = nn.Parameter(torch.empty(config.text_width, config.embed_dim))

    def forward(self, tokens: Tensor) -> Tensor:
        end = tokens.argmax(dim=-1)
        tokens = tokens[:, : int(end.max()) + 1]  # attention is causal: what follows the last end changes nothing
        x = self.token_embedding(tokens) + self.positional_embedding[: tokens.shape[1]]
        x = self.ln_final(self.transformer(x))
        features: Tensor = x[torch.arange(len(x), device=x.device), end] @ self.text_projection
        return features


class Transformer(nn.Module):
    def __init__(self, width: int, layers: int, *, causal: bool) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(Block(width, causal=causal) for _ in range(layers))

    def forward(self, x: Tensor, *, only_first: bool = False) -> Tensor:
        """Return (B, M, D), or (B, 1, D) when only the first token's output is wanted: then the last block computes just that one."""
        for block in self.resblocks[:-1]:
            x = block(x)
        last: Tensor = self.resblocks[-1](x, only_first=only_first)
        return last


class Block(nn.Module):
    def __init__(self, width: int, *, causal: bool) -> None:
        super().__init__()
        self.attn = Attention(width, causal=causal)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = Mlp(width)
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, x: Tensor, *, only_first: bool = False) -> Tensor:
        attended = self.attn(self.ln_1(x), only_first=only_first)
        x = (x[:, :1] if only_first else x) + attended
        after: Tensor = x + self.mlp(self.ln_2(x))
        return after


class Attention(nn.Module):
    """Multi-head attention under the parameter names of `torch.nn.MultiheadAttention`."""

    def __init__(self, width: int, *, causal: bool) -> None:
        super().__init__()
        self.heads = max(1, width // HEAD_WIDTH)
        self.causal = causal
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, *, only_first: bool = False) -> Tensor:
        width = x.shape[2]
        if only_first:
            q = F.linear(x[:, :1], self.in_proj_weight[:width], self.in_proj_bias[:width])
            k, v = F.linear(x, self.in_proj_weight[width:], self.in_proj_bias[width:]).chunk(2, dim=-1)
        else:
            q, k, v = F.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        q, k, v = (t.reshape(*t.shape[:2], self.heads, -1).transpose(1, 2) for t in (q, k, v))  # (B, heads, M, 64)
        x = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal and not only_first)
        attended: Tensor = self.out_proj(x.transpose(1, 2).flatten(2))
        return attended


class Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.c_fc(x)
        x = x * torch.sigmoid(1.702 * x)  # QuickGELU
        projected: Tensor = self.c_proj(x)
        return projected
