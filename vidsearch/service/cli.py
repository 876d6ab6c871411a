"""The `serve` command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidsearch.cli import ModelOption, StrictOption, default_index
from vidsearch.errors import UsageError
from vidsearch.extras import require

if TYPE_CHECKING:
    from vidsearch.service.cluster.serving import Cluster


def serve(
    index: Annotated[Path | None, typer.Argument(help="Index folder. Without it: VIDSEARCH_INDEX, ./shards/index, ./index or .")] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; any but this machine's own needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 8000,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="A file only you can read, with the token clients send; or VIDSEARCH_TOKEN.")
    ] = None,
    allow_host: Annotated[list[str] | None, typer.Option("--allow-host", help="A name clients use for this machine; repeatable.")] = None,
    media_root: Annotated[Path | None, typer.Option("--media-root", help="Folder of the videos, if not beside the index.")] = None,
    page: Annotated[bool, typer.Option("--page/--no-page", help="Whether the page of `vidsearch ui` is served too.")] = True,
    log_queries: Annotated[bool, typer.Option("--log-queries", help="Write what is asked to stderr, as lines of JSON.")] = False,
    executor: Annotated[str, typer.Option("--executor", help="What compares vectors: local (this process), or ray (a cluster).")] = "local",
    address: Annotated[
        str | None, typer.Option("--address", help="Of a Ray cluster: auto, HOST:PORT or ray://HOST:PORT. [default: Ray on this machine]")
    ] = None,
    groups: Annotated[
        int | None, typer.Option("--groups", min=1, help="Shards that the segments are shared out to. [default: one a node]")
    ] = None,
    replicas: Annotated[int, typer.Option("--replicas", min=1, help="Of each shard.")] = 2,
    shard_timeout: Annotated[float, typer.Option("--shard-timeout", help="Seconds until an answer goes without a shard.")] = 4.0,
    strict: StrictOption = False,
    model: ModelOption = None,
) -> None:
    """Serve an index over HTTP: the API under /v1, and the page."""
    cluster = _cluster(executor, address=address, groups=groups, replicas=replicas, timeout_s=shard_timeout)
    for library in ("fastapi", "uvicorn", "prometheus_client"):
        require(library)
    from vidsearch.service.server import serve as run

    run(
        index or default_index(),
        host=host,
        port=port,
        token_file=token_file,
        hosts=tuple(allow_host or ()),
        media_root=media_root,
        model=model,
        strict=strict,
        page=page,
        log_queries=log_queries,
        cluster=cluster,
    )


def _cluster(executor: str, *, address: str | None, groups: int | None, replicas: int, timeout_s: float) -> Cluster | None:
    """Return where the shards are to be; None for this process alone. Options that do not go together raise UsageError."""
    if executor == "local":
        if address is not None or groups is not None:
            raise UsageError("--address and --groups go with --executor ray")
        return None
    if executor != "ray":
        raise UsageError(f"unknown executor {executor!r}; choose from local, ray")
    from vidsearch.clusters import load_ray
    from vidsearch.service.cluster.serving import Cluster

    load_ray()  # fails here, before anything is opened
    return Cluster(address, groups, replicas, timeout_s)
