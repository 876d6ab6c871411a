"""One process, which is the default: nothing is planned ahead, and what comes is committed as it comes."""

from __future__ import annotations

import os

from indexer.executors.base import Order
from indexer.opening import Progress
from indexer.pipeline import build as build_here
from indexer.summary import Summary
from vidsearch.encoders.base import Encoder


def build(order: Order, encoder: Encoder, progress: Progress) -> Summary:
    return build_here(
        order.source,
        order.out,
        encoder=encoder,
        metadata=order.metadata,
        videos=order.videos,
        from_captions=order.from_captions,
        split=order.split,
        decoder=order.decoder,
        workers=order.workers or max(1, (os.cpu_count() or 2) - 1),
        index_factory=order.index_factory,
        seed=order.seed,
        max_quarantine=order.max_quarantine,
        grace_s=order.grace_s,
        progress=progress,
    )
