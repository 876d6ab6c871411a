"""The classification head of a fine-tuned checkpoint: a linear map on the features of its vision tower.

Codes that fine-tune a ViCLIP put one layer beside the tower, under a name of their own; it is known here by that name and by its shape,
(classes, width). Its width says what it reads: the features of the joint space, or those before the last projection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vidsearch.errors import CheckpointError

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.float32]

NAME = re.compile(
    r"(?:vision_encoder\.)?(?:head|heads|classifier|fc|fc_cls|cls_head|cls|linear|linear_head|classification_head)"
    r"(?:\.(?:fc|fc_cls|linear|head|\d))?\.(weight|bias)"
)


@dataclass(frozen=True, repr=False)
class Head:
    """`logits = features @ weight.T + bias`; weight (classes, width), bias (classes,), float32."""

    weight: Rows
    bias: Rows

    def __repr__(self) -> str:
        return f"Head({self.weight.shape[0]:,} classes of {self.weight.shape[1]} features)"

    @property
    def classes(self) -> int:
        return len(self.weight)

    @property
    def width(self) -> int:
        return int(self.weight.shape[1])


def split_head(tensors: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return (the towers, what by its name belongs to a head)."""
    head = {name: tensor for name, tensor in tensors.items() if NAME.fullmatch(name)}
    return {name: tensor for name, tensor in tensors.items() if name not in head}, head


def read_head(tensors: Mapping[str, Array], path: Path) -> Head | None:
    """Return the head made of its tensors, or None where there are none; anything but one linear layer is refused."""
    if not tensors:
        return None
    by_kind: dict[str, list[Array]] = {"weight": [], "bias": []}
    for name, tensor in tensors.items():
        by_kind[name.rpartition(".")[2]].append(np.asarray(tensor, dtype=np.float32))
    weights, biases = by_kind["weight"], by_kind["bias"]
    shapes = ", ".join(f"{name} {tensor.shape}" for name, tensor in tensors.items())
    if len(weights) != 1 or len(biases) > 1 or weights[0].ndim != 2:
        raise CheckpointError(
            f"{path} holds no head that is one linear layer: {shapes}; a weight (classes, width) and a bias were expected"
        )
    bias = biases[0] if biases else np.zeros(len(weights[0]), dtype=np.float32)
    if bias.shape != weights[0].shape[:1] or not (np.isfinite(weights[0]).all() and np.isfinite(bias).all()):
        raise CheckpointError(f"{path}: weight and bias of its head do not fit, or are not finite: {shapes}")
    return Head(weights[0], bias)
