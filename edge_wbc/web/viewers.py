"""Viewers for ``bench viewers``: ask as the live page does, as often as it answers; one of them reads at 10 kB/s.

python -m edge_wbc.web.viewers URL COUNT    until standard input ends; then what each got, as JSON
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import threading
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

SLOW_BYTES, SLOW_S = 1000, 0.1
"""The slow one takes so many bytes each so many seconds."""
HALF_MINUTE_S = 30.0


@dataclass(slots=True)
class Got:
    """What one viewer got."""

    views: int = 0
    fields: int = 0
    bytes: int = 0
    failed: int = 0


class Viewer:
    """One page that is open. ``look`` until ``over`` is set."""

    def __init__(self, host: str, cookie: str, over: threading.Event) -> None:
        self._host, self._cookie, self._over = host, cookie, over
        self.got = Got()

    def look(self) -> None:
        """The state, and the field whenever there is another."""
        connection = http.client.HTTPConnection(self._host, timeout=HALF_MINUTE_S)
        number = shown = 0
        while not self._over.is_set():
            try:
                state = json.loads(self._answer(connection, f"/api/live?after={number}"))
                number = state["number"]
                self.got.views += 1
                if state["field"] and state["field"]["view"] != shown:
                    shown = state["field"]["view"]
                    self._answer(connection, f"/api/live/field.jpg?view={shown}")
                    self.got.fields += 1
            except (OSError, http.client.HTTPException, ValueError, KeyError):
                self.got.failed += not self._over.is_set()
                connection.close()
                self._over.wait(SLOW_S)

    def crawl(self) -> None:
        """The newest field again and again, at 10 kB/s."""
        while not self._over.is_set():
            try:
                with socket.create_connection(tuple(self._host.split(":")), HALF_MINUTE_S) as link:  # type: ignore[arg-type]
                    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                    lines = ("GET /api/live/field.jpg HTTP/1.1", f"Host: {self._host}", f"Cookie: {self._cookie}")
                    link.sendall("\r\n".join((*lines, "Connection: close", "", "")).encode())
                    while not self._over.wait(SLOW_S) and (data := link.recv(SLOW_BYTES)):
                        self.got.bytes += len(data)
                self.got.fields += 1
            except OSError:
                self.got.failed += not self._over.is_set()
                self._over.wait(SLOW_S)

    def _answer(self, connection: http.client.HTTPConnection, path: str) -> bytes:
        connection.request("GET", path, headers={"Cookie": self._cookie})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise ValueError(f"{path}: {answer.status}")
        self.got.bytes += len(body)
        return body


def log_in(url: str) -> tuple[str, str]:
    """Host with port, and the cookie, for the address that `serve` gives."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=HALF_MINUTE_S)
    connection.request("GET", f"{parts.path}?{parts.query}")
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return parts.netloc, answer.headers["Set-Cookie"].partition(";")[0]


def main(url: str, count: int) -> None:
    host, cookie = log_in(url)
    over = threading.Event()
    viewers = [Viewer(host, cookie, over) for _ in range(count + 1)]
    looks = [one.look for one in viewers[:count]] + [viewers[count].crawl]
    threads = [threading.Thread(target=look, daemon=True) for look in looks]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join(1.0)
    sys.stdout.write(json.dumps([asdict(one.got) for one in viewers]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
