"""The process that serves: reads the token, binds the address, answers until it is told to end, and then answers what it has begun."""

from __future__ import annotations

import logging
import os
import signal
import socket
import stat
import sys
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, ExitStack
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import uvicorn

from vidsearch.encoders._blas import hold_one_thread
from vidsearch.errors import InputNotFoundError, UsageError
from vidsearch.service.application import Furnish, build_application, gated
from vidsearch.service.gate import LONGEST_TOKEN
from vidsearch.service.limits import Limits
from vidsearch.service.listening import listen
from vidsearch.service.protocol import configured
from vidsearch.service.querylog import QueryLog
from vidsearch.service.service import Service
from vidsearch.service.versions import Open, ServedIndex

if TYPE_CHECKING:
    from vidsearch.service.cluster.serving import Cluster

LOOPBACK = ("127.0.0.1", "localhost", "::1")
TOKEN_VARIABLE = "VIDSEARCH_TOKEN"
SHORTEST_TOKEN = 16
DRAIN_S = 15  # for answers that are under way when the process is told to end
LARGER = {"/upload": 64 << 20, "/export": 8 << 20, "/v1/export": 8 << 20}  # a file; the ids of a full cart

log = logging.getLogger(__name__)


def serve(
    path: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token_file: Path | None = None,
    hosts: Collection[str] = (),
    media_root: Path | None = None,
    model: str | None = None,
    strict: bool = False,
    page: bool = True,
    log_queries: bool = False,
    limits: Limits | None = None,
    cluster: Cluster | None = None,
) -> None:
    """Serve an index until the process is told to end.

    Args:
        path: the index.
        host, port: where to listen; port 0 takes a free one.
        token_file: holds what clients must know; without it VIDSEARCH_TOKEN does, and without both only this machine is served.
        hosts: further names by which the service is asked for.
        media_root: folder of the videos; beside the index without it.
        model: where the query side finds its weights.
        strict: no answer where a damaged segment would be left out.
        page: serve the page of `vidsearch ui` too, where it is installed.
        log_queries: write what is asked to stderr, as lines of JSON.
        limits: what one client may ask.
        cluster: has the vectors compared on other machines; in this process without it. The page knows this process alone and is left out.

    Raises:
        UsageError: the address cannot be bound, the token cannot be used, or an open address has none.
    """
    token = read_token(token_file, os.environ)
    if host not in LOOPBACK and token is None:
        raise UsageError(
            f"{host} is open to other machines, so a token is needed: put 16 characters or more into a file that only you can read and "
            f"name it with --token-file, or set {TOKEN_VARIABLE}"
        )
    hold_one_thread()
    with ExitStack() as stack:
        listening = stack.enter_context(listen(host, port))
        queries = QueryLog(sys.stderr) if log_queries else None
        opened = ServedIndex if cluster is None else stack.enter_context(_sharded(path, cluster))
        service = Service(path, model=model, strict=strict, media_root=media_root, limits=limits, log=queries, opened=opened)
        _warm(service)
        furnish = _page(stack, path, service, model=model, strict=strict) if page and cluster is None else None
        application = gated(
            build_application(service, furnish=furnish), service, token=token, hosts={*LOOPBACK, *_names(host), *hosts}, larger=LARGER
        )
        address, number = listening.getsockname()[:2]
        print(f"http://{f'[{address}]' if ':' in address else address}:{number}", flush=True)  # noqa: T201
        _tell(service, token=token, host=host, page=furnish is not None)
        _Server(service, configured(application, service.limits, drain_s=DRAIN_S)).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Ends as it should when it is told to: says that it is draining, answers what it has begun, and exits with 0."""

    def __init__(self, service: Service, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: Any) -> None:
        self._service.draining = True
        self.force_exit = self.should_exit and sig == signal.SIGINT  # told twice from a keyboard: at once
        self.should_exit = True


def read_token(file: Path | None, environ: Mapping[str, str]) -> str | None:
    """Return the token of a file, or of VIDSEARCH_TOKEN, or None.

    Raises:
        UsageError: others can read the file, or it holds no token that could not be guessed.
    """
    if file is None:
        text, where = environ.get(TOKEN_VARIABLE) or None, TOKEN_VARIABLE
    else:
        text, where = _read_private(file), str(file)
    if text is None:
        return None
    token = text.strip()
    if not (SHORTEST_TOKEN <= len(token) <= LONGEST_TOKEN and token.isascii() and token.isprintable() and " " not in token):
        raise UsageError(
            f"the token in {where} must be {SHORTEST_TOKEN} to {LONGEST_TOKEN} printable ASCII characters without spaces; make one with: "
            'python -c "import secrets; print(secrets.token_urlsafe(32))"'
        )
    return token


def _read_private(file: Path) -> str:
    if not file.is_file():
        raise InputNotFoundError(f"no token file {file}")
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        raise UsageError(f"others can read the token file {file} (mode {mode:04o}); run: chmod 600 {file}")
    return file.read_text("utf-8", errors="replace")


def _names(host: str) -> set[str]:
    """Return the names of this machine, where it listens to others."""
    return set() if host in LOOPBACK else {host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}


def _sharded(path: Path, cluster: Cluster) -> AbstractContextManager[Open]:
    from vidsearch.service.cluster.serving import sharded  # Ray is loaded where a cluster is asked for

    return sharded(path, cluster)


def _warm(service: Service) -> None:
    """Load the text side, codes and compiled code before anybody waits for them; where there is no text side, vectors can be asked with."""
    try:
        service.index.encode_texts(["a first sentence"])
    except Exception as error:
        log.warning("sentences cannot be asked: %s", error)
    index = service.index.own()
    index.answered(lambda: index.nearest(np.eye(1, index.space.dim, dtype=np.float32), 10))
    service.versions.learn(index)


def _page(stack: ExitStack, path: Path, service: Service, *, model: str | None, strict: bool) -> Furnish | None:
    """Return what adds the page, if a package that has one is installed and loads."""
    for entry in entry_points(group="vidsearch.pages"):
        try:
            make = entry.load()
        except ImportError as error:
            log.warning("no page: %s; it comes with the extra `ui`", error)
            return None
        furnish: Furnish = stack.enter_context(make(path, model=model, strict=strict, media_root=service.media_root))
        return furnish
    return None


def _tell(service: Service, *, token: str | None, host: str, page: bool) -> None:
    who = "whoever knows the token" if token else "everybody on this machine"
    what = "the page and the API" if page else "the API"
    lines = [f"{len(service.index):,} clips of {service.versions.root} for {who}; {what}; Ctrl-C ends it"]
    if host not in LOOPBACK:
        lines.append("what is sent here can be read on the way: put a proxy that speaks TLS before it")
    sys.stderr.write("".join(f"{line}\n" for line in lines))
