"""Messages between a session's process and that of its page: a JSON object, and bytes after it, both ways.

    page → session   {"kind": "ready", "url"}  {"kind": "failed", "line", "code"}
                     {"kind": "want", "now"}   once for each view
                     {"kind": "do", "number", "what", "who", "label", "until"}
    session → page   {"kind": "serve", "place", "serving", "control"} once, first
                     {"kind": "view", "number", "field", "state_bytes"} state as JSON, then the field as JPEG or nothing
                     {"kind": "did", "number", "refused"}

Nothing is unpickled: what one process could be made to say does nothing to the other.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

LARGEST_BYTES = 16_000_000


class Wire:
    """One end. Any thread may send; one receives."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._sending = threading.Lock()

    def send(self, head: dict[str, Any], body: bytes = b"") -> bool:
        """Waits for a slow reader. False if the other end is gone."""
        data = json.dumps(head, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n" + body
        try:
            with self._sending:
                self.connection.send_bytes(data)
        except OSError:
            return False
        return True

    def receive(self) -> tuple[dict[str, Any], bytes] | None:
        """The next message; None when the other end is gone."""
        try:
            data = self.connection.recv_bytes(LARGEST_BYTES)
        except (EOFError, OSError):
            return None
        head, _, body = data.partition(b"\n")
        return json.loads(head), body

    def shut(self) -> None:
        """Let both ends see that nothing more comes, a thread that waits here too."""
        with suppress(OSError), socket.socket(fileno=os.dup(self.connection.fileno())) as end:
            end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.connection.close()
