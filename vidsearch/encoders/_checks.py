"""Are these the weights of a ViCLIP? Every tensor's name, shape and values are compared with the network's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vidsearch.errors import CheckpointError, FormatVersionError
from vidsearch.extras import require

Array = npt.NDArray[Any]

CHECKPOINT_VERSION = 1
VISION_PREFIX = "vision_encoder."
PROJECTION = "vision_encoder.proj"  # (width, dim)


def check_version(path: Path, metadata: Mapping[str, str]) -> None:
    """Refuse a checkpoint of ours that a newer vidsearch wrote."""
    version = metadata.get("vidsearch_checkpoint", "0")
    if not version.isdecimal() or int(version) > CHECKPOINT_VERSION:
        raise FormatVersionError(
            f"{path} was written by a newer vidsearch (checkpoint version {version:.20}); upgrade vidsearch to read it"
        )


def check_shapes(path: Path, tensors: Mapping[str, Array], *, vision_only: bool = False) -> None:
    """Compare with the network's own parameters, so that no part of a model is ever left random.

    Args:
        vision_only: of the vision tower alone, whose last projection may be missing.
    """
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    expected = _expected_shapes(path, shapes, vision_only=vision_only)
    wrong = [
        f"{name} {shapes[name]} instead of {expected[name]}" for name in expected if shapes.get(name, expected[name]) != expected[name]
    ]
    faults = [
        f"{what} {_first_five(names)}"
        for what, names in (
            ("missing", [name for name in expected if name not in shapes]),
            ("unexpected", [name for name in shapes if name not in expected]),
            ("of the wrong shape", wrong),
        )
        if names
    ]
    if faults:
        raise CheckpointError(f"{path} does not fit the ViCLIP network; {'; '.join(faults)}")


def _expected_shapes(path: Path, shapes: Mapping[str, tuple[int, ...]], *, vision_only: bool) -> dict[str, tuple[int, ...]]:
    torch = require("torch")
    from vidsearch.encoders._viclip_net import NetConfig, ViCLIP

    try:
        config = NetConfig.of_vision(shapes) if vision_only else NetConfig.from_shapes(shapes)
    except KeyError as error:
        raise CheckpointError(f"{path} does not fit the ViCLIP network; missing {error.args[0]}") from error
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise CheckpointError(f"{path} does not fit the ViCLIP network: {error}") from error
    with torch.device("meta"):
        expected = {name: tuple(parameter.shape) for name, parameter in ViCLIP(config).state_dict().items()}
    if vision_only:
        return {
            name: shape for name, shape in expected.items() if name.startswith(VISION_PREFIX) and (name != PROJECTION or name in shapes)
        }
    return expected


def check_finite(path: Path, tensors: Mapping[str, Array]) -> None:
    """Refuse tensors that hold NaN or infinite numbers, by name."""
    bad = [name for name, tensor in tensors.items() if not (np.isfinite(tensor.min()) and np.isfinite(tensor.max()))]
    if bad:
        raise CheckpointError(f"{path} holds NaN or infinite numbers in {_first_five(bad)}")


def _first_five(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
