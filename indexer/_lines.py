"""How a decode process and its parent talk: JSON values, one a line."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any


class Lines:
    """JSON values, one a line, over a socket."""

    def __init__(self, connection: socket.socket, *, longest: int) -> None:
        self.connection = connection
        self._longest = longest  # bytes of a line; a longer one is garbage
        self._rest = b""

    def send(self, value: Any) -> None:
        self.connection.sendall(json.dumps(value).encode() + b"\n")

    def receive(self) -> Iterator[Any]:
        """Yield the values that have arrived, waiting if there is nothing at all.

        Raises:
            EOFError: the other side is gone.
            ValueError: what came is not JSON.
        """
        data = self.connection.recv(1 << 16)
        if not data:
            raise EOFError
        *lines, self._rest = (self._rest + data).split(b"\n")
        yield from map(json.loads, lines)
        if len(self._rest) > self._longest:
            raise ValueError(f"a line of more than {self._longest} bytes")
