"""A socket to listen on, before anything is loaded that would be in vain if it cannot be had."""

from __future__ import annotations

import socket

from vidsearch.errors import UsageError

BACKLOG = 1024


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address of this machine; port 0 takes a free one. Whoever connects waits for the server.

    Raises:
        UsageError: it cannot be bound.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, OverflowError, UnicodeError) as error:
        raise UsageError(f"{host}:{port} is no address of this machine ({error}); give one such as 127.0.0.1") from error
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise UsageError(
            f"port {port} of {host} cannot be used ({error.strerror}); give another with --port, 0 takes a free one"
        ) from error
    return listening
