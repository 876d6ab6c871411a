"""A small model of open_clip with seeded weights: the real network, tokenizer and file, at a size that loads at once."""

from __future__ import annotations

import json
from pathlib import Path

ARCHITECTURE = "vidsearch-test"
CONFIG = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8, "head_width": 32},
    "text_cfg": {"context_length": 16, "vocab_size": 49_408, "width": 32, "heads": 2, "layers": 2},
}


def add_architecture(folder: Path, name: str = ARCHITECTURE, **changes: object) -> None:
    """Make open_clip know the small architecture; open_clip keeps it for the rest of the process."""
    import open_clip

    path = folder / f"{name}.json"
    path.write_text(json.dumps(CONFIG | changes))
    open_clip.add_model_config(path)


def tiny_openclip(folder: Path) -> str:
    """Write seeded weights and return the source to load."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    add_architecture(folder)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        net = open_clip.create_model(ARCHITECTURE)
    scales = {"in_proj": 6, "mlp": 4}  # sharper attention than fresh weights have, so that other pictures get other features
    state = {name: next((by for part, by in scales.items() if part in name), 1) * tensor for name, tensor in net.state_dict().items()}
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "tiny.safetensors")
    return f"open_clip:{ARCHITECTURE}/{folder / 'tiny.safetensors'}"
