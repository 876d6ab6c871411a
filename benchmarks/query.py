"""A cold `vidsearch query`: process start to printed answer, on 10,000 clips with a text tower of ViCLIP-L's size (seeded weights).

    uv run python benchmarks/query.py

Prints the median of several runs beside the cost of `python -c pass`, `vidsearch --help`, and of importing torch, measured in turn in the
same run; and the share of the query spent in each stage.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from _machine import describe

from indexer.rows import clips_table
from vidsearch.config import Space, viclip_preset
from vidsearch.encoders._checkpoint import Checkpoint, ensure_text_file, hash_weights
from vidsearch.encoders._tokens import clip_merges
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments
from vidsearch.storage.quarantine import quarantine_table

WORDS = tuple("a the dog cat man woman surfing running red car street snow kitchen cooks holds rides under over big small".split())  # noqa: SIM905

WIDTH, LAYERS, CONTEXT, VOCABULARY = 768, 12, 32, 49_408  # ViCLIP-L's text tower


def write_text_tower(models: Path, *, seed: int) -> str:
    """Write random weights of ViCLIP-L's text tower, in a trained model's scale, into a models folder; return their hash."""
    rng = np.random.default_rng(seed)

    def weights(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32) * np.float32(0.02)

    block = {
        "attn.in_proj_weight": (3 * WIDTH, WIDTH),
        "attn.in_proj_bias": (3 * WIDTH,),
        "attn.out_proj.weight": (WIDTH, WIDTH),
        "attn.out_proj.bias": (WIDTH,),
        "mlp.c_fc.weight": (4 * WIDTH, WIDTH),
        "mlp.c_fc.bias": (4 * WIDTH,),
        "mlp.c_proj.weight": (WIDTH, 4 * WIDTH),
        "mlp.c_proj.bias": (WIDTH,),
        "ln_1.weight": (WIDTH,),
        "ln_1.bias": (WIDTH,),
        "ln_2.weight": (WIDTH,),
        "ln_2.bias": (WIDTH,),
    }
    tensors = {f"text_encoder.transformer.resblocks.{n}.{name}": weights(*shape) for n in range(LAYERS) for name, shape in block.items()}
    tensors["text_encoder.token_embedding.weight"] = weights(VOCABULARY, WIDTH)
    tensors["text_encoder.positional_embedding"] = weights(CONTEXT, WIDTH)
    tensors["text_encoder.text_projection"] = weights(WIDTH, WIDTH)
    tensors["text_encoder.ln_final.weight"] = np.ones(WIDTH, dtype=np.float32)
    tensors["text_encoder.ln_final.bias"] = weights(WIDTH)
    sha256 = hash_weights(tensors)
    ensure_text_file(Checkpoint(models / "seeded", "seeded ViCLIP-L text tower", sha256, tensors, clip_merges()), models)
    return sha256


def make_index(root: Path, sha256: str, *, rows: int, dim: int, seed: int) -> None:
    """Write an index of random unit vectors with captions and scores."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((rows, dim), dtype=np.float32)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    table = clips_table(
        [
            {
                "clip_id": f"{row:020x}",
                "video": f"{row // 20:011x}.mp4",
                "start_s": float(row % 20 * 10),
                "end_s": float(row % 20 * 10 + 10),
                "duration_s": 10.0,
                "caption": " ".join(rng.choice(WORDS, 12)),
                "language": str(rng.choice(["en", "zh", "ko"])),
                "aesthetic": float(rng.normal(4.5, 1)),
            }
            for row in range(rows)
        ]
    )
    space = Space("viclip", "seeded ViCLIP-L", sha256, 1, viclip_preset("eval"), dim)
    manifests.create(root, space)
    reference = segments.write(
        root,
        vectors=vectors,
        rows=table,
        index_files={},
        quarantine=quarantine_table([]),
        info={"index": "flat"},
    )
    manifests.commit(root, lambda manifest: replace(manifest, segments=(reference,)))


def seconds(command: list[str], environment: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(describe("numpy", "pyarrow", "faiss-gpu", "typer", seed=arguments.seed))
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index"
        make_index(index, write_text_tower(Path(folder), seed=arguments.seed), rows=arguments.rows, dim=WIDTH, seed=arguments.seed)
        environment = {**os.environ, "VIDSEARCH_MODELS": folder, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        query = [sys.executable, "-m", "vidsearch", "query", "a dog surfing", "--index", str(index)]
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "vidsearch --help": [sys.executable, "-m", "vidsearch", "--help"],
            "vidsearch query": query,
            "vidsearch query --where": [*query, "--where", "language = 'en' and aesthetic > 5"],
            "python -c 'import torch'": [sys.executable, "-c", "import torch"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(arguments.runs):
            for name, command in commands.items():
                times[name].append(seconds(command, environment))
        for name, values in times.items():
            print(f"{name:26} median {statistics.median(values):6.2f} s   min {min(values):6.2f} s   max {max(values):6.2f} s")
        print(subprocess.run(query, check=True, capture_output=True, text=True, env=environment).stderr.strip())


if __name__ == "__main__":
    main()
